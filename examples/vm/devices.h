/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The VM's devices, as guest and host know them. The rest of the guest's world (RAM, program,
 * console, hypercalls) is that of ../hypervisor/layout.h.
 */
#ifndef VM_DEVICES_H
#define VM_DEVICES_H

/* A clock of sorts: registers of 32 bits. */
#define GPA_CLOCK   0x0a000000
#define CLOCK_TICKS 0 /* goes up by one with each read */
#define CLOCK_LIFE  4 /* how often the VM was reset */

/*
 * A queue of requests, made like a split virtqueue of virtio: the guest puts chains of descriptors
 * into its own memory and kicks. The device answers each request with its text in upper case.
 */
#define GPA_QUEUE              0x0a010000
#define QUEUE_SIZE             0x00 /* descriptors, at most QUEUE_SIZE_MAX; 0 turns the queue off */
#define QUEUE_DESCRIPTORS      0x10 /* three addresses, low half first */
#define QUEUE_DESCRIPTORS_HIGH 0x14
#define QUEUE_AVAILABLE        0x18
#define QUEUE_AVAILABLE_HIGH   0x1c
#define QUEUE_USED             0x20
#define QUEUE_USED_HIGH        0x24
#define QUEUE_KICK             0x30
#define QUEUE_STATUS           0x34

#define QUEUE_SIZE_MAX 64
#define STATUS_READY   0
#define STATUS_BROKEN  1 /* the rings make no sense: only a reset helps */

#define DESCRIPTOR_BYTES 16 /* address 64, length 32, flags 16, next 16 */
#define DESCRIPTOR_NEXT  1 /* the chain goes on at `next` */
#define DESCRIPTOR_WRITE 2 /* for the device to write to */

#define RING_INDEX 2 /* both rings: flags 16, index 16, then the entries */
#define RING_ENTRY 4 /* available: 16 bits each; used: descriptor 32, bytes written 32 */

/* A hypercall besides those of layout.h: the VM begins a new life. */
#define CALL_RESET 4

#endif
