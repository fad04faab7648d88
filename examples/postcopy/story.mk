# SPDX-License-Identifier: MIT OR Apache-2.0
# The guest of ../precopy goes on in a space whose memory comes later, on every machine: post-copy by a provider.

STORY_ALSO := precopy
STORY_OBJECTS := postcopy.o moved.o
EXPECTED := ../postcopy/expected.txt
