/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Source KVM dirty ring (Linux Documentation/virt/kvm/api.rst, 8.29): each vCPU has a ring, in memory shared with the
 * kernel, of the pages that it has written to. Whoever takes an entry marks it, and KVM_RESET_DIRTY_RINGS protects the
 * pages of all marked entries again. A write is before that, and its page is read after it; or after it, and the page
 * gets a new entry. */
#include "config.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "memsnap/dirty-log-private.h"
#include "util/error.h"

enum
{
  RING_MIN = 16384, /* bytes: 1024 entries; the kernel keeps up to 576 of them for itself */
};

#define UNKNOWN G_MAXUINT32

/* One slot of the machine's memory. */
typedef struct
{
  guint32 slot;
  gsize first; /* page of the log */
  gsize n_pages;
} Part;

typedef struct
{
  int vm_fd;
  guint n_rings;
  struct kvm_dirty_gfn **rings; /* (owned): mapped; by vCPU */
  guint32 *next;                /* (owned): by vCPU: the entry looked at next, or UNKNOWN; under the lock */
  guint32 n_entries;            /* of each ring; a power of two */
  guint n_parts;
  Part *parts;                  /* (owned) */
  GMutex lock;                  /* who collects, or swaps */
} Rings;

gboolean
pv_dirty_log_enable_kvm_ring (int vm_fd, gsize *ring_size, GError **error)
{
  static const int names[] = { KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL };
  gsize most = 0;
  int name = 0;

  for (guint i = 0; i < G_N_ELEMENTS (names) && most == 0; i++)
    {
      int size = ioctl (vm_fd, KVM_CHECK_EXTENSION, names[i]);

      name = names[i];
      most = (gsize) MAX (size, 0);
    }
  if (most == 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "this host's KVM has no dirty ring: Linux 5.11 or newer is needed");
  struct kvm_enable_cap request = { .cap = (guint32) name };

  request.args[0] = RING_MIN;
  while (request.args[0] < *ring_size && request.args[0] * 2 <= most)
    request.args[0] *= 2;
  if (ioctl (vm_fd, KVM_ENABLE_CAP, &request) < 0)
    return errno == EINVAL
               ? pv_throw (error, PV_ERROR_INVALID, "this machine can have no dirty ring any more: ask for it before "
                           "its first vCPU is made")
               : pv_throw_errno (error, errno, "cannot have a dirty ring");
  *ring_size = (gsize) request.args[0];
  return TRUE;
}

/* --- taking --- */

static gboolean
note (PvDirtyLog *self, const Rings *rings, const struct kvm_dirty_gfn *entry, GError **error)
{
  for (guint i = 0; i < rings->n_parts; i++)
    {
      const Part *part = &rings->parts[i];

      if (part->slot != entry->slot)
        continue;
      if (entry->offset < part->n_pages)
        pv_dirty_log_set (self->bitmaps[self->active], part->first + entry->offset);
      return entry->offset < part->n_pages
             || pv_throw (error, PV_ERROR_INVALID, "memory slot %u is larger than it was said to be", part->slot);
    }
  return pv_throw (error, PV_ERROR_INVALID, "memory slot %u has KVM_MEM_LOG_DIRTY_PAGES and is not among those of this "
                   "log: name it, too", entry->slot);
}

/* The kernel writes an entry before its flag. */
static gboolean
is_dirty (const Rings *rings, guint ring, guint32 entry)
{
  const struct kvm_dirty_gfn *at = &rings->rings[ring][entry & (rings->n_entries - 1)];

  return __atomic_load_n (&at->flags, __ATOMIC_ACQUIRE) == KVM_DIRTY_GFN_F_DIRTY;
}

/* Where an earlier log of these rings stopped: at the first dirty entry behind one that is not. The kernel fills them
 * in order, so the one before is looked at last. UNKNOWN: none is dirty. */
static guint32
find_next (const Rings *rings, guint ring)
{
  guint32 any = UNKNOWN;

  for (guint32 i = 0; i < rings->n_entries; i++)
    {
      if (!is_dirty (rings, ring, i))
        continue;
      if (!is_dirty (rings, ring, i - 1))
        return i;
      any = i;
    }
  return any;
}

/* Under the lock. A vCPU is to leave KVM while there is room in its ring. What the kernel puts into a full one is lost,
 * and that vCPU does not run any more. */
static gboolean
collect_ring (PvDirtyLog *self, Rings *rings, guint ring, GError **error)
{
  if (rings->next[ring] == UNKNOWN)
    rings->next[ring] = find_next (rings, ring);
  if (rings->next[ring] == UNKNOWN)
    return TRUE;
  for (guint32 n = 0; n < rings->n_entries; n++)
    {
      struct kvm_dirty_gfn *entry = &rings->rings[ring][rings->next[ring]];

      if (!is_dirty (rings, ring, rings->next[ring]))
        return TRUE;
      if (!note (self, rings, entry, error))
        return FALSE;
      __atomic_store_n (&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
      rings->next[ring] = (rings->next[ring] + 1) & (rings->n_entries - 1);
    }
  return pv_throw (error, PV_ERROR_FAILED, "the dirty ring of vCPU %u has run over, this host's KVM did not stop it in "
                   "time: make the machine anew, with a larger ring or without", ring);
}

/* Under the lock. */
static gboolean
collect (PvDirtyLog *self, Rings *rings, GError **error)
{
  for (guint i = 0; i < rings->n_rings; i++)
    if (!collect_ring (self, rings, i, error))
      return FALSE;
  return ioctl (rings->vm_fd, KVM_RESET_DIRTY_RINGS, 0) >= 0
         || pv_throw_errno (error, errno, "cannot give entries of the dirty rings back");
}

static gboolean
rings_collect (PvDirtyLog *self, GError **error)
{
  Rings *rings = self->source;
  gboolean ok;

  g_mutex_lock (&rings->lock);
  ok = collect (self, rings, error);
  g_mutex_unlock (&rings->lock);
  return ok;
}

static gboolean
rings_swap (PvDirtyLog *self, GError **error)
{
  Rings *rings = self->source;
  gboolean ok;

  g_mutex_lock (&rings->lock);
  ok = collect (self, rings, error);
  if (ok)
    self->active = !self->active;
  g_mutex_unlock (&rings->lock);
  return ok;
}

/* --- object --- */

static void
rings_free (PvDirtyLog *self)
{
  Rings *rings = self->source;

  for (guint i = 0; i < rings->n_rings; i++)
    if (rings->rings[i] != NULL)
      munmap (rings->rings[i], rings->n_entries * sizeof **rings->rings);
  g_mutex_clear (&rings->lock);
  g_free (rings->rings);
  g_free (rings->next);
  g_free (rings->parts);
  g_free (rings);
}

static const PvDirtyLogOps rings_ops = { .swap = rings_swap, .collect = rings_collect, .free = rings_free };

/* @length: (out): of all slots together. */
static gboolean
check (const PvDirtyLogSlot *slots, guint n_slots, gsize ring_size, gsize *length, GError **error)
{
  *length = 0;
  if (ring_size < RING_MIN || (ring_size & (ring_size - 1)) != 0 || ring_size > G_MAXUINT32)
    return pv_throw (error, PV_ERROR_INVALID, "a dirty ring of %" G_GSIZE_FORMAT " bytes: pass the size that "
                     "pv_dirty_log_enable_kvm_ring() gave", ring_size);
  for (guint i = 0; i < n_slots; i++)
    {
      if (!pv_dirty_log_check_range (0, slots[i].length, error))
        return FALSE;
      *length += slots[i].length;
    }
  return pv_dirty_log_check_range (0, *length, error);
}

static Rings *
rings_new (int vm_fd, guint n_vcpus, gsize ring_size, const PvDirtyLogSlot *slots, guint n_slots)
{
  Rings *self = g_new0 (Rings, 1);
  gsize first = 0;

  self->vm_fd = vm_fd;
  self->n_rings = n_vcpus;
  self->rings = g_new0 (struct kvm_dirty_gfn *, n_vcpus);
  self->next = g_new0 (guint32, n_vcpus);
  self->n_entries = (guint32) (ring_size / sizeof (struct kvm_dirty_gfn));
  self->n_parts = n_slots;
  self->parts = g_new0 (Part, n_slots);
  for (guint i = 0; i < n_slots; i++)
    {
      self->parts[i] = (Part){ slots[i].slot, first, slots[i].length / PV_DIRTY_PAGE };
      first += self->parts[i].n_pages;
    }
  g_mutex_init (&self->lock);
  return self;
}

static gboolean
map_rings (Rings *self, const int *vcpu_fds, gsize ring_size, GError **error)
{
  for (guint i = 0; i < self->n_rings; i++)
    {
      gpointer ring = mmap (NULL, ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fds[i],
                            (off_t) KVM_DIRTY_LOG_PAGE_OFFSET * PV_DIRTY_PAGE);

      if (ring == MAP_FAILED)
        return pv_throw_errno (error, errno, "vCPU %u has no dirty ring of %" G_GSIZE_FORMAT " bytes", i, ring_size);
      self->rings[i] = ring;
      self->next[i] = UNKNOWN;
    }
  return TRUE;
}

PvDirtyLog *
pv_dirty_log_new_kvm_ring (int vm_fd, const int *vcpu_fds, guint n_vcpus, gsize ring_size, const PvDirtyLogSlot *slots,
                           guint n_slots, GError **error)
{
  g_autoptr(PvDirtyLog) self = NULL;
  Rings *rings;
  gsize length;

  if (!check (slots, n_slots, ring_size, &length, error))
    return NULL;
  rings = rings_new (vm_fd, n_vcpus, ring_size, slots, n_slots);
  self = pv_dirty_log_new (&rings_ops, rings, length, error);
  if (self == NULL)
    {
      PvDirtyLog none = { .source = rings };

      rings_free (&none);
      return NULL;
    }
  if (!map_rings (rings, vcpu_fds, ring_size, error) || pv_dirty_log_switch (self, NULL, error) == NULL)
    return NULL;
  return g_steal_pointer (&self);
}
