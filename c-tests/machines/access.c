/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One access of the guest, with every fault on its way through the library, and what it must be. */
#include <stddef.h>

#include "report.h"
#include "suite.h"

/* No access of the suite faults more often: a tenth fault means that it does so for ever. */
#define FAULTS_MAX 10

uint64_t accesses_made;
uint64_t faults_taken;
void (*after_fault)(const axas_fault_t *fault);

static void run(struct vcpu *vcpu, struct outcome *outcome, struct guest_exit *left)
{
	layer_run(vcpu, left);
	outcome->done = left->reason == EXIT_HYPERCALL;
	outcome->value = left->argument;
	outcome->syndrome = left->syndrome;
	if (left->reason != EXIT_FAULT)
		return;
	__atomic_add_fetch(&faults_taken, 1, __ATOMIC_RELAXED);
	outcome->last = left->fault;
	if (outcome->faults++ == 0)
		outcome->first = left->fault;
}

void guest_access_raw(struct vcpu *vcpu, uint64_t op, uint64_t gpa, uint64_t value,
		      struct outcome *outcome)
{
	struct guest_exit left = { .reason = EXIT_UNKNOWN };

	accesses_made++;
	*outcome = (struct outcome){ 0 };
	layer_request(vcpu, op, gpa, value);
	run(vcpu, outcome, &left);
}

static uint32_t can_be_handled(const axas_fault_t *fault)
{
	return fault->kind == AXAS_KIND_TRANSLATION || fault->kind == AXAS_KIND_PERMISSION ||
	       fault->kind == AXAS_KIND_ACCESS_FLAG;
}

void guest_access(struct vcpu *vcpu, uint64_t op, uint64_t gpa, uint64_t value,
		  struct outcome *outcome)
{
	struct guest_exit left = { .reason = EXIT_UNKNOWN };

	accesses_made++;
	*outcome = (struct outcome){ 0 };
	layer_request(vcpu, op, gpa, value);
	do {
		run(vcpu, outcome, &left);
		if (left.reason != EXIT_FAULT || !can_be_handled(&left.fault))
			return;
		outcome->verdict = axas_handle_page_fault(space, left.fault.gpa, left.fault.access);
		if (axas_fault_resumes(outcome->verdict) && after_fault != NULL)
			after_fault(&left.fault);
	} while (axas_fault_resumes(outcome->verdict) && outcome->faults < FAULTS_MAX);
}

axas_flags_t access_of(uint64_t op, uint32_t is_readable)
{
	switch (op) {
	case OP_WRITE:
	case OP_WRITE_8:
	case OP_KEEP_WRITING:
		return W;
	case OP_EXECUTE:
	case OP_KEEP_EXECUTING:
		return X;
	case OP_ATOMIC:
		return is_readable ? layer.atomic_read_only : layer.atomic_absent;
	default:
		return R;
	}
}

const char *op_name(uint64_t op)
{
	static const char *const names[] = {
		[OP_READ] = "read",
		[OP_WRITE] = "write",
		[OP_EXECUTE] = "execute",
		[OP_ATOMIC] = "atomic",
		[OP_READ_32] = "read 32",
		[OP_WRITE_8] = "write 8",
		[OP_FENCE_WALKS] = "fence",
		[OP_KEEP_READING] = "keep reading",
		[OP_KEEP_WRITING] = "keep writing",
		[OP_KEEP_EXECUTING] = "keep executing",
		[OP_KEEP_SCATTERING] = "keep scattering",
	};

	return op < sizeof(names) / sizeof(names[0]) && names[op] != NULL ? names[op] : "?";
}

static const char *outcome_name(const struct outcome *outcome)
{
	if (outcome->done)
		return outcome->faults == 0 ? "done" : "done after a fault";
	if (outcome->faults == 0)
		return "a guest exit that is no fault";
	if (!can_be_handled(&outcome->last))
		return "a fault that cannot be handled";
	return verdict_name(outcome->verdict);
}

static void fail(const char *what, uint64_t op, uint64_t gpa, const char *why,
		 const struct outcome *outcome)
{
	if (!complain(what))
		return;
	report(", %s 0x%lx: %s\n", op_name(op), gpa, why);
	report("        %s, value 0x%lx, %u faults, first: 0x%lx access %u kind %u valid 0x%lx, "
	       "syndrome 0x%lx\n",
	       outcome_name(outcome), outcome->value, outcome->faults, outcome->first.gpa,
	       outcome->first.access, outcome->first.kind, (uint64_t)outcome->first.valid,
	       outcome->syndrome);
}

/* What the decoder made of the fault; null if that is right. */
static const char *wrong_fault(uint64_t op, uint64_t gpa, enum expected expected,
			       const axas_fault_t *fault)
{
	uint64_t mask = op == OP_EXECUTE && !layer.exact_fetch ? ~(PAGE - 1) : UINT64_MAX;
	/* An entry that lets the guest read is there: only then has an atomic access got so far. */
	axas_flags_t access = access_of(op, expected == EXPECT_DENIED);
	uint32_t is_there = expected == EXPECT_DENIED || expected == EXPECT_UNREADABLE;

	if (!(fault->valid & AXAS_VALID_GPA) && fault->kind != AXAS_KIND_PERMISSION)
		return "the address is not valid";
	if ((fault->gpa & mask) != (gpa & mask))
		return "the fault has another address";
	if (!(fault->valid & AXAS_VALID_ACCESS) || fault->access != access)
		return "the fault has another access";
	if (fault->valid & AXAS_IS_TABLE_WALK)
		return "the fault claims to be a walk of the guest's tables";
	if (fault->kind !=
	    (is_there && layer.tells_permission ? AXAS_KIND_PERMISSION : AXAS_KIND_TRANSLATION))
		return "the fault has another kind";
	return NULL;
}

static const char *wrong_outcome(uint64_t op, uint64_t gpa, uint64_t value, enum expected expected,
				 const struct outcome *outcome)
{
	static const axas_fault_result_t verdicts[] = {
		[EXPECT_TRAP] = AXAS_FAULT_TRAP,      [EXPECT_UNMAPPED] = AXAS_FAULT_UNMAPPED,
		[EXPECT_DENIED] = AXAS_FAULT_DENIED,  [EXPECT_UNREADABLE] = AXAS_FAULT_DENIED,
		[EXPECT_REFUSED] = AXAS_FAULT_DENIED, [EXPECT_HIDDEN] = AXAS_FAULT_HIDDEN,
	};

	if (expected == EXPECT_VALUE || expected == EXPECT_RESOLVED) {
		if (!outcome->done)
			return "the access did not get through";
		if (outcome->faults != (expected == EXPECT_RESOLVED))
			return expected == EXPECT_VALUE ? "a fault where none was due" :
							  "another number of faults than one";
		if ((op == OP_READ || op == OP_EXECUTE || op == OP_READ_32) &&
		    outcome->value != value)
			return "another value came back";
	} else {
		if (outcome->done)
			return "the access got through";
		if (outcome->faults != 1 || outcome->verdict != verdicts[expected])
			return "another verdict";
	}
	return outcome->faults == 0 ? NULL : wrong_fault(op, gpa, expected, &outcome->first);
}

void subtest(const char *what, uint64_t op, uint64_t gpa, uint64_t value, enum expected expected)
{
	struct outcome outcome;
	const char *why;

	guest_access(guest, op, gpa, value, &outcome);
	subtests++;
	why = wrong_outcome(op, gpa, value, expected, &outcome);
	if (why != NULL)
		fail(what, op, gpa, why, &outcome);
}

uint32_t is_allowed(uint64_t op, axas_flags_t flags)
{
	axas_flags_t needed = op == OP_ATOMIC ? RW : access_of(op, 0);

	return (flags & needed) == needed;
}

enum expected on_entry(uint64_t op, axas_flags_t flags)
{
	if (is_allowed(op, flags))
		return EXPECT_VALUE;
	return flags & R ? EXPECT_DENIED : EXPECT_UNREADABLE;
}

void subtest_memory(const char *what, uint64_t op, uint64_t gpa, uint64_t hpa,
		    enum expected expected)
{
	uint64_t before = random_number();
	uint64_t value = random_number();

	write_host(hpa, before);
	if (op == OP_EXECUTE) {
		plant_sample(hpa);
		subtest(what, op, gpa, SAMPLE_VALUE, expected);
		return;
	}
	subtest(what, op, gpa, op == OP_READ ? before : value, expected);
	if (op == OP_READ)
		return;
	if (expected == EXPECT_VALUE)
		before = op == OP_ATOMIC ? before + value : value;
	check(what, read_host(hpa), before);
}
