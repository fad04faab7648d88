# SPDX-License-Identifier: MIT OR Apache-2.0
# The guest of ../linux, moved to other memory while it runs.

STORY_ALSO := linux
STORY_OBJECTS := migrate.o switch.o precopy.o space.o cpu.o psci.o secondary.o
STORY_PROGRAMS := writer
STORY_MACHINES := arm
STORY_RUN = ../linux/fetch.sh $(BUILD)/debian && \
	../migrate/run.py $(EMULATOR) $(CPU) $(IMAGE) $(BUILD)/debian $(OUT)
