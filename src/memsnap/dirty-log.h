/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDirtyLog: which pages were written to since one last looked.
 *
 *   log = pv_dirty_log_new_uffd (memory, size, &error);
 *   for (;;)
 *     {
 *       const guint64 *dirty = pv_dirty_log_switch (log, &n_dirty, &error);
 *       … copy the pages whose bit is set, at leisure …
 *     }
 *
 * A log has two bitmaps. Writes are noted in one; pv_dirty_log_switch() swaps the two in one step and gives the one
 * that was noted in until then, to be read without any hurry until the next switch. No write is lost: one that is not
 * in the bitmap given is in a later one, and whoever reads a page after the switch that gave it sees all writes for
 * which it was given.
 *
 * A log belongs to one thread at a time, but for pv_dirty_log_collect(); the writers may be any.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

typedef struct _PvDirtyLog PvDirtyLog;

/* Memory of this process, watched by userfaultfd and PAGEMAP_SCAN: Linux 6.7 or newer, without any right. Writes of
 * system calls and of KVM guests are seen, writes through other mappings of shared memory are not. Whole 4096-byte
 * pages. Fails with PV_ERROR_UNSUPPORTED, INVALID, or BUSY when another userfaultfd has the memory. */
PvDirtyLog *pv_dirty_log_new_uffd (gpointer address, gsize length, GError **error);

/* The same for memory of process @pid, of which @userfaultfd is one that was made inside it
 * (pv_process_memory_userfaultfd() with PV_PROCESS_MEMORY_TRACK); it is not taken and must stay open. */
PvDirtyLog *pv_dirty_log_new_process (pid_t pid, int userfaultfd, guint64 address, gsize length, GError **error);

/* Memory of this process, watched by mprotect and SIGSEGV: any kernel; every first write to a page is a signal, and
 * system calls that write to it fail with EFAULT. x86-64. */
PvDirtyLog *pv_dirty_log_new_mprotect (gpointer address, gsize length, GError **error);

/* A memory slot of a KVM machine that has KVM_MEM_LOG_DIRTY_PAGES. @length: of the slot. Only the guest's writes are
 * seen. @vm_fd is not taken and must stay open. */
PvDirtyLog *pv_dirty_log_new_kvm (int vm_fd, guint32 slot, gsize length, GError **error);

/* Lets a KVM machine have a dirty ring for each vCPU, before the first of them is made. @ring_size: (inout): bytes of
 * each, 16 for a page that was written to; a power of two near it comes back. PV_ERROR_UNSUPPORTED: this KVM has
 * none; INVALID: it is too late. With rings there is no pv_dirty_log_new_kvm(). */
gboolean pv_dirty_log_enable_kvm_ring (int vm_fd, gsize *ring_size, GError **error);

typedef struct
{
  guint32 slot; /* as in KVM_SET_USER_MEMORY_REGION */
  gsize length; /* bytes */
} PvDirtyLogSlot;

/* The dirty rings of all vCPUs of a KVM machine, of which @slots are all memory slots with KVM_MEM_LOG_DIRTY_PAGES; the
 * log's pages are those of the first slot, then those of the second … @vm_fd and @vcpu_fds are not taken and must stay
 * open. A switch costs what was written, however large the memory. Only the guest's writes are seen, and what a vCPU
 * has written since it last left KVM_RUN may be told later. A vCPU whose ring is full leaves KVM_RUN with
 * KVM_EXIT_DIRTY_RING_FULL, and runs again after a switch or pv_dirty_log_collect(). Where KVM does not stop it in time
 * (seen where guests are emulated: take large rings) these fail with PV_ERROR_FAILED, for writes were lost. */
PvDirtyLog *pv_dirty_log_new_kvm_ring (int vm_fd, const int *vcpu_fds, guint n_vcpus, gsize ring_size,
                                       const PvDirtyLogSlot *slots, guint n_slots, GError **error);

/* Notes what waits in rings, so that there is room in them again; no switch. Any thread, also while another one
 * switches: a vCPU's thread whose ring is full calls it and goes on. Does nothing with other sources. */
gboolean pv_dirty_log_collect (PvDirtyLog *self, GError **error);

/* Ends the watching. @self: (nullable). */
void pv_dirty_log_free (PvDirtyLog *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDirtyLog, pv_dirty_log_free)

gsize pv_dirty_log_get_n_pages (PvDirtyLog *self);

/* (transfer none): bit n is page n; valid and unchanged until the next switch. @n_dirty: (out) (optional). NULL on
 * error. The first switch tells what was written since the log was made. */
const guint64 *pv_dirty_log_switch (PvDirtyLog *self, gsize *n_dirty, GError **error);

G_END_DECLS
