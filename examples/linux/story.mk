# SPDX-License-Identifier: MIT OR Apache-2.0
# Debian's arm64 Linux as the guest. Nothing of it is committed: fetch.sh gets it from Debian.

STORY_OBJECTS := linux.o space.o cpu.o psci.o secondary.o
STORY_MACHINES := arm
STORY_RUN = ../linux/fetch.sh $(BUILD)/debian && \
	../linux/run.py $(EMULATOR) $(CPU) $(IMAGE) $(BUILD)/debian $(OUT)
