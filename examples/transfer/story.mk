# SPDX-License-Identifier: MIT OR Apache-2.0
# Two guests and a buffer that changes hands.

STORY_OBJECTS := two_guests.o
EXPECTED := ../transfer/expected.txt
