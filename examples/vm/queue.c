/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "queue.h"

#include <stdatomic.h>
#include <stddef.h>

#include "devices.h"
#include "report.h"

#define REQUEST_MAX 64

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

_Static_assert(sizeof(struct descriptor) == DESCRIPTOR_BYTES, "as it lies in the guest's memory");

struct request {
	uint8_t text[REQUEST_MAX];
	size_t bytes; /* of text */
	size_t answered; /* bytes of it that were written back */
};

void queue_reset(struct queue *queue, axas_t *space)
{
	*queue = (struct queue){ .space = space, .status = STATUS_READY };
}

/* A piece of the request, in the guest's memory: copied once, and only the copy is looked at. */
static uint32_t append(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	struct request *request = ctx;
	const uint8_t *from = host;

	(void)gpa;
	for (size_t i = 0; i < bytes; i++) {
		const uint8_t c = from[i];

		request->text[request->bytes++] =
			c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
	}
	return 1;
}

/*
 * The library holds the guest to what it may: no address outside its space, no memory it could not
 * read itself, no MMIO. What is left to check are lengths.
 */
static axas_status_t take(struct queue *queue, const struct descriptor *d, struct request *request)
{
	if (d->length > REQUEST_MAX - request->bytes)
		return AXAS_ERR_INVALID_INPUT;
	return axas_for_each_chunk(queue->space, d->address, d->length, AXAS_READ, append, request);
}

/* The short count tells the guest how much of its buffer was good. */
static axas_status_t answer(struct queue *queue, const struct descriptor *d,
			    struct request *request)
{
	size_t bytes = request->bytes - request->answered;
	size_t done;
	axas_status_t status;

	if (bytes > d->length)
		bytes = d->length;
	status = axas_write(queue->space, d->address, &request->text[request->answered], bytes, 0,
			    &done);
	request->answered += done;
	return status;
}

/* A chain has at most as many links as there are descriptors, else it goes in circles. */
static axas_status_t serve(struct queue *queue, uint32_t head, struct request *request)
{
	uint32_t index = head;

	for (uint32_t links = 0; links < queue->size && index < queue->size; links++) {
		struct descriptor d;
		axas_status_t status;

		/* Read once: the guest may change it between two looks. */
		status = axas_read(queue->space, queue->descriptors + index * DESCRIPTOR_BYTES, &d,
				   sizeof(d), 0, NULL);
		if (status == AXAS_OK)
			status = d.flags & DESCRIPTOR_WRITE ? answer(queue, &d, request) :
							      take(queue, &d, request);
		if (status != AXAS_OK || !(d.flags & DESCRIPTOR_NEXT))
			return status;
		index = d.next;
	}
	return AXAS_ERR_INVALID_INPUT;
}

/* The entry first, then the index that makes the guest look at it. */
static axas_status_t finish(struct queue *queue, uint32_t head, size_t bytes)
{
	const uint64_t entry = queue->used + RING_ENTRY + queue->next_used % queue->size * 8;
	axas_status_t status = axas_write_u32(queue->space, entry, 0, head);

	if (status == AXAS_OK)
		status = axas_write_u32(queue->space, entry + 4, 0, (uint32_t)bytes);
	if (status != AXAS_OK)
		return status;
	queue->next_used++;
	atomic_thread_fence(memory_order_release);
	return axas_write_u16(queue->space, queue->used + RING_INDEX, 0, queue->next_used);
}

static axas_status_t work(struct queue *queue)
{
	uint16_t end;
	axas_status_t status;

	if (!axas_contains_range(queue->space, queue->descriptors,
				 (uint64_t)queue->size * DESCRIPTOR_BYTES))
		return AXAS_ERR_INVALID_INPUT;
	status = axas_read_u16(queue->space, queue->available + RING_INDEX, 0, &end);
	if (status != AXAS_OK)
		return status;
	if ((uint16_t)(end - queue->next_available) > queue->size)
		return AXAS_ERR_INVALID_INPUT;
	/* What the index promises was written before it. */
	atomic_thread_fence(memory_order_acquire);
	while (queue->next_available != end) {
		const uint64_t slot = queue->next_available % queue->size;
		struct request request = { .bytes = 0 };
		uint16_t head;

		status = axas_read_u16(queue->space, queue->available + RING_ENTRY + slot * 2, 0,
				       &head);
		if (status != AXAS_OK)
			return status;
		queue->next_available++;
		status = serve(queue, head, &request);
		report("  queue: %lu bytes asked, %lu answered: %s\n", (uint64_t)request.bytes,
		       (uint64_t)request.answered, axas_status_str(status));
		status = finish(queue, head, request.answered);
		if (status != AXAS_OK)
			return status;
	}
	return AXAS_OK;
}

/* A bad request is the request's problem; bad rings end the queue's service. */
static void kick(struct queue *queue)
{
	axas_status_t status;

	if (queue->size == 0 || queue->status == STATUS_BROKEN)
		return;
	status = work(queue);
	if (status == AXAS_OK)
		return;
	report("  queue: broken, its rings: %s\n", axas_status_str(status));
	queue->status = STATUS_BROKEN;
}

static void set_low(uint64_t *address, uint32_t value)
{
	*address = (*address & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(uint64_t *address, uint32_t value)
{
	*address = (*address & UINT32_MAX) | (uint64_t)value << 32;
}

uint32_t queue_store(struct queue *queue, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case QUEUE_SIZE:
		queue->size = value > QUEUE_SIZE_MAX ? 0 : value;
		break;
	case QUEUE_DESCRIPTORS:
		set_low(&queue->descriptors, value);
		break;
	case QUEUE_DESCRIPTORS_HIGH:
		set_high(&queue->descriptors, value);
		break;
	case QUEUE_AVAILABLE:
		set_low(&queue->available, value);
		break;
	case QUEUE_AVAILABLE_HIGH:
		set_high(&queue->available, value);
		break;
	case QUEUE_USED:
		set_low(&queue->used, value);
		break;
	case QUEUE_USED_HIGH:
		set_high(&queue->used, value);
		break;
	case QUEUE_KICK:
		kick(queue);
		break;
	default:
		return 0;
	}
	return 1;
}

uint32_t queue_load(const struct queue *queue, uint64_t offset, uint32_t *value)
{
	if (offset != QUEUE_STATUS)
		return 0;
	*value = queue->status;
	return 1;
}
