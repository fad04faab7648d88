# SPDX-License-Identifier: MIT OR Apache-2.0
# A VM with its devices.

STORY_OBJECTS := vm.o queue.o on_machine.o
EXPECTED := ../vm/expected.txt
