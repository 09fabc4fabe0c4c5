/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oracle: the whole user space of a test guest. It runs as /init and can tell, at any time and of itself, whether its
 * memory and all its disks are of one instant.
 *
 * Memory (oracle-memory.c): a region of pages that say which page they are, which generation, and a checksum over all
 * of it; one thread per vCPU keeps rewriting its share. The generation that each page must have and a sum over all of
 * them are kept elsewhere in RAM, so that an older page is noticed, however valid. A page is verified before it is
 * rewritten.
 *
 * Disks (oracle-disks.c): a counter n in RAM, and per tick, in this order: counter = n; record of n to vda; record of n
 * to vdb (…); committed = n. At every instant committed <= vdb <= vda <= counter <= committed + 1. What a disk holds
 * after tick n is a function of n alone (disk-rule.h), compared before it is overwritten: one tick too old or too new
 * shows.
 *
 * What was once found wrong stays wrong: the verdict is sticky. Answers come on the serial line (oracle.c), and those
 * of a guest agent on the port org.qemu.guest_agent.0 where there is one (oracle-agent.c).
 *
 * Parameters from the kernel command line: oracle.mem (MiB), .rate (KiB/s), .random (% of incompressible bytes),
 * .tick (milliseconds, 0: none), .blocks (data blocks per disk, a power of two), .sweep (KiB/s verified all the time).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_CPUS = 16, LOOP_US = 5000 /* how often a thread looks for work */ };

/* oracle.c; any thread. wrong() says and remembers what was found wrong; die() powers the guest off. */
extern unsigned n_cpus;
void say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
void wrong (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
bool all_right (void);
void die (const char *what) __attribute__ ((noreturn));
uint64_t now_us (void);   /* monotonic */
void sleep_us (uint64_t us);
uint64_t parameter (const char *name, uint64_t otherwise);
void pin_to (unsigned cpu, bool urgent);   /* this thread */
void start_thread (void *(*run) (void *), void *data);
void *zero_pages (size_t size);   /* never freed but by munmap */

/* oracle-memory.c: the region is filled and watched from start on. */
extern atomic_ulong rate_kib, sweep_kib;
extern uint64_t n_pages;
void memory_start (uint64_t mib);
void memory_check (void);            /* returns when every page was looked at */
void memory_dirty (uint64_t n);      /* returns when n pages were rewritten */

/* oracle-disks.c: start opens what disks there are and looks at them; run begins to tick. */
extern atomic_ulong tick_ms;
extern atomic_bool ticks_held;       /* by the guest agent's freeze */
extern _Atomic uint64_t counter, committed;
extern unsigned n_disks;
void disks_start (uint64_t max_blocks);
void disks_run (void);
void disks_check (void);             /* returns when every block was looked at */
void disks_step (void);              /* returns when one more tick was done */
void disks_settle (void);            /* returns when no tick is under way; hold them first */
void disks_describe (char *text, size_t size);   /* "n=7 counter=7 committed=7 vda=7 vdb=7" */

/* oracle-agent.c */
void agent_start (void);
