# SPDX-License-Identifier: MIT OR Apache-2.0
"""The topics of the interface and their order: header-groups.py puts its functions under them, docs-filter.py all of it."""
import re
import sys

# Topic, title, what it is about, and the names that belong to it: the first pattern that fits.
TOPICS = [
    ("status", "Statuses, version, log", "Texts of statuses; version and parts of the archive; log messages.",
     r"axas_status|AXAS_OK|AXAS_ERR_|axas_version|axas_parts|AXAS_PART_|AXAS_VERSION|axas_set_logger|axas_log_fn|AXAS_MUST_USE"),
    ("hide", "Hidden pages, notes, transfers",
     "Pages that stay mapped while each access faults, values where nothing is mapped (part `hide`); pages given, lent and shared "
     "between two spaces (part `transfer`).",
     r"axas_hide|axas_show|axas_map_note|AXAS_HIDE_|axas_transfer|AXAS_(GIVE|LEND|SHARE|TAKE_BACK|WIPE)$"),
    ("provider", "Pages that the host provides", "Regions whose pages the host brings when they are needed (part `provider`): see @ref page_docs_providers.",
     r"axas_map_provider|axas_supply|axas_evict(_some)?$|AXAS_RESOLVE_|axas_resolve_fn|axas_evicted_fn"),
    ("slices", "Long operations in slices", "The same operations with a budget, for long ranges.",
     r"axas_(?!dirty|merge|age)\w+_some$"),
    ("faults", "Page faults", "Fault handling, and decoders of the fault registers: see @ref page_docs_concepts.",
     r"axas_fault|AXAS_FAULT_|AXAS_KIND_|AXAS_VALID_|AXAS_IS_|axas_handle_page_fault|axas_trap_cookie"),
    ("looking", "Queries", "What an address maps to, dumps, counters, audit.",
     r"axas_translate|axas_query|axas_for_each$|axas_dump|axas_stats|axas_audit|axas_mapping_t|AXAS_STATE_"
     r"|axas_run_fn|axas_write_fn"),
    ("memory", "A guest's memory", "Checked reads and writes of guest memory by the host.",
     r"axas_(read|write|fill)(_u\d+)?$|axas_for_each_chunk|axas_chunk_fn|AXAS_ACCESS_"),
    ("host", "The host's callbacks", "What a hypervisor supplies: see @ref page_docs_hal.",
     r"axas_hal_t|AXAS_HAL_|axas_\w+_frame_fn|axas_\w+_fn$|AXAS_FRAME_|axas_tlb_request_t|AXAS_FLUSH_"
     r"|AXAS_SCOPE_"),
    ("arena", "Arena", "A frame allocator for hosts without one.", r"axas_arena|AXAS_ARENA_"),
    ("frames", "Frames for the host's own use", "For vCPU state, bitmaps and rings, from alloc_frame.", r"axas_frame_"),
    ("devices", "Device ranges", "MMIO, ports and system registers of emulated devices.",
     r"(?i)axas_(mmio|port|sysreg|width)"),
    ("merge", "Merging", "Small pages joined to large ones (part `merge`).", r"axas_merge|AXAS_MERGE_"),
    ("dirty", "Dirty and accessed pages",
     "Which pages a guest wrote, copies between spaces (part `dirty`); which it used (part `age`).", r"(?i)axas_(dirty|age|copy$)"),
    ("mapping", "Mapping",
     "Frames of the host, memory of the library and traps: map, change, unmap; tags (part `tags`), tables in stock (part `stock`).",
     r"axas_map|axas_unmap|axas_protect|axas_populate|axas_discard|axas_collect|axas_stock|axas_tag_bits|axas_retag|AXAS_TAG_|axas_extent_t|axas_flags_t"
     r"|AXAS_(READ|WRITE|EXECUTE|USER|DEVICE\w*|UNCACHED|WRITE_\w+|POPULATE|NO_HUGE\w*|MAX_2M|HUGE_FRAMES"
     r"|REPLACE|NEED_LAZY|SKIP_ZERO)$"),
    ("life", "Life cycle", "Creating and destroying a space; register values to load.",
     r"axas_create|axas_destroy|axas_clear|axas_set_vmid|axas_(base|size|levels|root|contains_range)$"
     r"|axas_hw_regs|axas_config_regs|axas_tables_needed|axas_config_t|axas_t$|axas_[gh]pa_t|AXAS_HPA_INVALID|AXAS_PAGE_SIZE"
     r"|AXAS_FORMAT_|AXAS_FEATURE_|AXAS_NEEDS_|AXAS_STORAGE_"
     r"|AXAS_(CALLER_LOCKED|SMALL_EXEC|KEEP_TABLES|IGNORE_GUEST_PAT|FRAMES_ARE_ZEROED|NO_ZERO|NONCOHERENT_WALK|IO|NO_WAIT)$"),
]

# In which they are read.
ORDER = ["life", "mapping", "faults", "looking", "memory", "slices", "host", "arena", "frames",
         "devices", "dirty", "merge", "hide", "provider", "status"]

DECLARED = re.compile(
    r"^#define (AXAS_\w+)|^typedef struct (axas_\w+)|^typedef \w[\w ]*\*?\(\*(axas_\w+)\)"
    r"|^typedef \w+ (axas_\w+);|^(?:AXAS_MUST_USE )?(?:const )?[a-z]\w+ \*?(axas_\w+)\(")


def topic_of(name):
    for topic, _, _, pattern in TOPICS:
        if re.match(pattern, name):
            return topic
    sys.exit(f"{name} belongs to no topic: give it one in TOPICS of scripts/topics.py")
