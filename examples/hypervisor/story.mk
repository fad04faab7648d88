# SPDX-License-Identifier: MIT OR Apache-2.0
# Thirteen acts, in which hypervisor and guest show what the library does.

STORY_OBJECTS := scenario.o
EXPECTED = $(MACHINE)/expected-$(LEVELS).txt
