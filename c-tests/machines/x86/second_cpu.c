/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The second CPU by INIT and start-up interrupt, and the NMI that takes it out of its guest.
 *
 * Source: Intel SDM vol. 3A, "Multiple-Processor Initialization", "Issuing Interprocessor
 * Interrupts"; AMD APM vol. 2 says the same.
 */
#include <stddef.h>

#include "freestanding.h"
#include "suite.h"
#include "x86/x86.h"

#define MSR_EFER  0xc0000080
#define EFER_KEPT 0x901 /* SCE, LME, NXE: LMA follows, SVME is for later */

/* The local APIC, at its reset address, in a 2 MiB page of its own. */
#define APIC_BASE        UINT64_C(0xfee00000)
#define APIC_SPURIOUS    0xf0
#define APIC_ENABLE      0x1ff
#define APIC_COMMAND     0x300
#define APIC_DESTINATION 0x310
#define SECOND_APIC      (1u << 24)
#define COMMAND_INIT     0x4500
#define COMMAND_START_UP 0x4600
#define COMMAND_NMI      0x4400
#define COMMAND_PENDING  (1u << 12)

#define PRESENT_WRITABLE 0x03
#define UNCACHED_LARGE   0x93
#define ADDRESS(entry)   ((entry)&0xffffffffff000)
#define ENTRIES          512
#define CR4_LA57         (1u << 12)

#define TRAMPOLINE         0x8000
#define CODE_SELECTOR      8
#define VECTORS            32
#define NMI_VECTOR         2
#define SPINS_AFTER_INIT   200000
#define SPINS_BETWEEN_NMIS 20000

struct gate {
	uint64_t low;
	uint64_t high;
};

struct descriptor_table {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct trampoline_values {
	uint32_t cr0, cr3, cr4, efer, start;
	uint16_t start_selector, gdt_limit;
	uint32_t gdt_base;
} __attribute__((packed));

static uint64_t apic_pages[ENTRIES] __attribute__((aligned(4096)));
static struct gate gates[VECTORS];
static uint32_t is_in_guest[CPU_COUNT];
static uint32_t flush_is_due[CPU_COUNT];

extern const uint8_t trampoline[], trampoline_end[], trampoline_values[];
void secondary_entry(void);
void nmi_entry(void);

uint64_t x86_read_msr(uint32_t number)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	return (uint64_t)high << 32 | low;
}

void x86_write_msr(uint32_t number, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static uint64_t read_cr0(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}

uint64_t read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

static uint64_t read_cr4(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

static volatile uint32_t *apic(uint64_t offset)
{
	return (volatile uint32_t *)(uintptr_t)(APIC_BASE + offset);
}

/* Where the host's own map does not reach it, it gets a page. */
static void map_apic(void)
{
	uint64_t *table = (uint64_t *)(uintptr_t)ADDRESS(read_cr3());
	uint64_t *slot;

	if (read_cr4() & CR4_LA57)
		table = (uint64_t *)(uintptr_t)ADDRESS(table[0]);
	table = (uint64_t *)(uintptr_t)ADDRESS(table[0]);
	slot = &table[APIC_BASE >> 30];
	if (*slot != 0)
		return;
	apic_pages[APIC_BASE >> 21 & (ENTRIES - 1)] = APIC_BASE | UNCACHED_LARGE;
	*slot = (uintptr_t)apic_pages | PRESENT_WRITABLE;
}

static void send(uint32_t command)
{
	while (*apic(APIC_COMMAND) & COMMAND_PENDING)
		layer_relax();
	*apic(APIC_DESTINATION) = SECOND_APIC;
	*apic(APIC_COMMAND) = command;
}

/* The first CPU's handlers, but an NMI just comes back. */
static void make_gates(void)
{
	struct descriptor_table table;
	uint64_t entry = (uintptr_t)nmi_entry;

	__asm__ volatile("sidt %0" : "=m"(table));
	memcpy(gates, (const void *)(uintptr_t)table.base, sizeof(gates));
	gates[NMI_VECTOR].low = (gates[NMI_VECTOR].low & UINT64_C(0x0000ffffffff0000)) |
				(entry & 0xffff) | (entry >> 16 & 0xffff) << 48;
}

static void copy_trampoline(void)
{
	struct descriptor_table gdt;
	struct trampoline_values values;
	uint8_t *to = (uint8_t *)(uintptr_t)TRAMPOLINE;

	__asm__ volatile("sgdt %0" : "=m"(gdt));
	values = (struct trampoline_values){
		.cr0 = (uint32_t)read_cr0(),
		.cr3 = (uint32_t)read_cr3(),
		.cr4 = (uint32_t)layer_boot_cr4(read_cr4()),
		.efer = (uint32_t)x86_read_msr(MSR_EFER) & EFER_KEPT,
		.start = (uint32_t)(uintptr_t)secondary_entry,
		.start_selector = CODE_SELECTOR,
		.gdt_limit = gdt.limit,
		.gdt_base = (uint32_t)gdt.base,
	};
	memcpy(to, trampoline, (size_t)(trampoline_end - trampoline));
	memcpy(to + (trampoline_values - trampoline), &values, sizeof(values));
}

static void spin(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		layer_relax();
}

uint32_t layer_start_secondary(void)
{
	map_apic();
	make_gates();
	copy_trampoline();
	*apic(APIC_SPURIOUS) = APIC_ENABLE;
	send(COMMAND_INIT);
	spin(SPINS_AFTER_INIT);
	send(COMMAND_START_UP | TRAMPOLINE >> 12);
	return 1;
}

void secondary_start(void)
{
	struct descriptor_table table = { sizeof(gates) - 1, (uintptr_t)gates };

	__asm__ volatile("lidt %0" ::"m"(table) : "memory");
	secondary_main();
}

uint32_t kicks_enter(uint32_t cpu)
{
	__atomic_store_n(&is_in_guest[cpu], 1, __ATOMIC_SEQ_CST);
	return __atomic_exchange_n(&flush_is_due[cpu], 0, __ATOMIC_SEQ_CST);
}

void kicks_leave(uint32_t cpu)
{
	__atomic_store_n(&is_in_guest[cpu], 0, __ATOMIC_SEQ_CST);
}

void kicks_flush_here_later(void)
{
	for (uint32_t cpu = 0; cpu < CPU_COUNT; cpu++)
		__atomic_store_n(&flush_is_due[cpu], 1, __ATOMIC_SEQ_CST);
}

/* Only the first CPU changes mappings, so it is always the second that has to be waited for. */
void kicks_flush_all(void)
{
	kicks_flush_here_later();
	while (__atomic_load_n(&is_in_guest[1], __ATOMIC_SEQ_CST) &&
	       __atomic_load_n(&flush_is_due[1], __ATOMIC_SEQ_CST)) {
		send(COMMAND_NMI);
		for (uint32_t i = 0; i < SPINS_BETWEEN_NMIS; i++) {
			if (!__atomic_load_n(&flush_is_due[1], __ATOMIC_SEQ_CST))
				break;
			layer_relax();
		}
	}
}

void layer_sync_code(void *code, uint64_t bytes)
{
	/* Fetches see stores on these CPUs. */
	(void)code;
	(void)bytes;
	__asm__ volatile("" ::: "memory");
}

void layer_relax(void)
{
	__asm__ volatile("pause");
}

axas_status_t layer_map(axas_t *mapped)
{
	return guest_tables_map(mapped);
}
