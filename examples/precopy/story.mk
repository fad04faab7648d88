# SPDX-License-Identifier: MIT OR Apache-2.0
# A guest is moved to other memory while it writes, on every machine: pre-copy by the dirty log.

STORY_OBJECTS := precopy.o moved.o
EXPECTED := ../precopy/expected.txt
