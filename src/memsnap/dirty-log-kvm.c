/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Source KVM_GET_DIRTY_LOG (Linux Documentation/virt/kvm/api.rst, 4.8). */
#include "config.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "memsnap/dirty-log-private.h"
#include "util/error.h"

typedef struct
{
  int vm_fd;
  guint32 slot;
} Slot;

/* KVM hands out its bitmap and begins a new one in one step. */
static gboolean
slot_swap (PvDirtyLog *self, GError **error)
{
  const Slot *slot = self->source;
  struct kvm_dirty_log log = { .slot = slot->slot, .dirty_bitmap = self->bitmaps[self->active] };

  if (ioctl (slot->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
    return pv_throw_errno (error, errno, "cannot have the dirty log of memory slot %u (has it "
                           "KVM_MEM_LOG_DIRTY_PAGES?)", slot->slot);
  self->active = !self->active;
  return TRUE;
}

static void
slot_free (PvDirtyLog *self)
{
  g_free (self->source);
}

static const PvDirtyLogOps slot_ops = { .swap = slot_swap, .free = slot_free };

PvDirtyLog *
pv_dirty_log_new_kvm (int vm_fd, guint32 slot, gsize length, GError **error)
{
  Slot *source = g_new (Slot, 1);
  g_autoptr(PvDirtyLog) self = NULL;

  *source = (Slot){ vm_fd, slot };
  if (pv_dirty_log_check_range (0, length, error))
    self = pv_dirty_log_new (&slot_ops, source, length, error);
  if (self == NULL)
    {
      g_free (source);
      return NULL;
    }
  return pv_dirty_log_switch (self, NULL, error) == NULL ? NULL : g_steal_pointer (&self);
}
