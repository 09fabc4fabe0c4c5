/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Both sources that KVM has, with a machine that counts in all its pages. */
#include "config.h"

#include "memsnap/dirty-log.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dirty-log-mirror.h"
#include "util/error.h"

enum
{
  RAM = 1152 * 4096, /* bytes; the program in the first page, the others counted in: more than a ring has entries */
  WRITTEN = RAM / 4096 - 1,
  LOW_SLOT = 0,      /* the first half of it … */
  HIGH_SLOT = 5,     /* … and the other */
};

/* Counts once in each page but the first, and tells the host after each, again and again; 32 bits, flat. So it leaves
 * KVM often: some KVMs that emulate a guest look only then whether a ring is full. */
static const guint8 program[] = {
  0xbb, 0x00, 0x10, 0x00, 0x00,       /* again: mov ebx, 0x1000 */
  0xff, 0x03,                         /* page:  inc dword [ebx] */
  0x81, 0xc3, 0x00, 0x10, 0x00, 0x00, /*        add ebx, 0x1000 */
  0xe6, 0x10,                         /*        out 0x10, al */
  0x81, 0xfb, 0x00, 0x00, 0x48, 0x00, /*        cmp ebx, 0x480000 */
  0x75, 0xee,                         /*        jne page */
  0xeb, 0xe7,                         /*        jmp again */
};

typedef struct
{
  int kvm, vm, vcpu;
  struct kvm_run *run;
  int run_size;
  gsize ring_size; /* 0: no ring */
  guint8 *ram;
  PvDirtyLog *log;
  int stop;
  guint turns, full; /* how often the ring was */
} Machine;

static const PvDirtyLogSlot slots[] = { { LOW_SLOT, RAM / 2 }, { HIGH_SLOT, RAM / 2 } };

static void
add_slot (Machine *self, guint32 slot, gsize first, gsize size)
{
  struct kvm_userspace_memory_region region = {
    .slot = slot,
    .flags = KVM_MEM_LOG_DIRTY_PAGES,
    .guest_phys_addr = first,
    .memory_size = size,
    .userspace_addr = (guint64) (gsize) (self->ram + first),
  };

  g_assert_cmpint (ioctl (self->vm, KVM_SET_USER_MEMORY_REGION, &region), ==, 0);
}

static void
set_flat (struct kvm_segment *segment)
{
  segment->base = 0;
  segment->limit = G_MAXUINT32;
  segment->selector = 8;
  segment->db = segment->g = segment->s = segment->present = 1;
}

static void
add_vcpu (Machine *self)
{
  struct kvm_regs regs = { .rflags = 2 };
  struct kvm_sregs sregs;

  self->vcpu = ioctl (self->vm, KVM_CREATE_VCPU, 0);
  g_assert_cmpint (self->vcpu, >=, 0);
  self->run_size = ioctl (self->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  self->run = mmap (NULL, (gsize) self->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, self->vcpu, 0);
  g_assert_true (self->run != MAP_FAILED);
  g_assert_cmpint (ioctl (self->vcpu, KVM_GET_SREGS, &sregs), ==, 0);
  set_flat (&sregs.cs);
  set_flat (&sregs.ds);
  set_flat (&sregs.es);
  set_flat (&sregs.ss);
  sregs.cs.type = 11;
  sregs.ds.type = sregs.es.type = sregs.ss.type = 3;
  sregs.cr0 |= 1;
  g_assert_cmpint (ioctl (self->vcpu, KVM_SET_SREGS, &sregs), ==, 0);
  g_assert_cmpint (ioctl (self->vcpu, KVM_SET_REGS, &regs), ==, 0);
}

/* FALSE: this host has none, the test is skipped. */
static gboolean
machine_open (Machine *self, gboolean ring)
{
  g_autoptr(GError) error = NULL;

  *self = (Machine){ .kvm = open ("/dev/kvm", O_RDWR | O_CLOEXEC) };
  if (self->kvm < 0)
    {
      g_test_skip ("n/a: this host has no /dev/kvm");
      return FALSE;
    }
  self->vm = ioctl (self->kvm, KVM_CREATE_VM, 0);
  g_assert_cmpint (self->vm, >=, 0);
  if (ring && !pv_dirty_log_enable_kvm_ring (self->vm, &self->ring_size, &error))
    {
      g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
      g_test_skip_printf ("n/a: %s", error->message);
      close (self->vm);
      close (self->kvm);
      return FALSE;
    }
  self->ram = mmap (NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (self->ram != MAP_FAILED);
  memcpy (self->ram, program, sizeof program);
  return TRUE;
}

static gboolean
machine_open_ring (Machine *self)
{
  if (!machine_open (self, TRUE))
    return FALSE;
  add_slot (self, LOW_SLOT, 0, RAM / 2);
  add_slot (self, HIGH_SLOT, RAM / 2, RAM / 2);
  add_vcpu (self);
  return TRUE;
}

static void
machine_close (Machine *self)
{
  pv_dirty_log_free (self->log);
  munmap (self->run, (gsize) self->run_size);
  munmap (self->ram, RAM);
  close (self->vcpu);
  close (self->vm);
  close (self->kvm);
}

/* Once through all pages. */
static void
run_turn (Machine *self)
{
  g_autoptr(GError) error = NULL;

  for (guint written = 0; written < WRITTEN;)
    {
      g_assert_cmpint (ioctl (self->vcpu, KVM_RUN, 0), ==, 0);
      if (self->run->exit_reason == KVM_EXIT_IO)
        {
          written++;
          continue;
        }
      g_assert_cmpuint (self->run->exit_reason, ==, KVM_EXIT_DIRTY_RING_FULL);
      self->full++;
      pv_dirty_log_collect (self->log, &error);
      g_assert_no_error (error);
    }
  __atomic_add_fetch (&self->turns, 1, __ATOMIC_RELAXED);
}

static gpointer
run_machine (gpointer data)
{
  Machine *self = data;

  while (!__atomic_load_n (&self->stop, __ATOMIC_RELAXED))
    run_turn (self);
  return NULL;
}

/* A copy that only follows the log, switched while the guest runs, ends up equal. */
static void
check_following (Machine *self)
{
  g_autofree guint8 *mirror = g_malloc (RAM);
  gsize seen = 0;
  GThread *thread;

  memcpy (mirror, self->ram, RAM);
  thread = g_thread_new ("vcpu", run_machine, self);
  for (guint round = 0; round < 50 || __atomic_load_n (&self->turns, __ATOMIC_RELAXED) < 5; round++)
    {
      seen += follow (self->log, self->ram, mirror);
      /* Who does nothing but switch keeps a vCPU with a full ring from the lock, on a busy host for ever. */
      g_usleep (100);
    }
  __atomic_store_n (&self->stop, 1, __ATOMIC_RELAXED);
  g_thread_join (thread);
  seen += follow (self->log, self->ram, mirror);
  g_assert_cmpuint (seen, >=, WRITTEN);
  g_assert_cmpint (memcmp (mirror, self->ram, RAM), ==, 0);
  g_assert_cmpuint (follow (self->log, self->ram, mirror), ==, 0);
}

static void
test_bitmap (void)
{
  Machine self;
  g_autoptr(GError) error = NULL;

  if (!machine_open (&self, FALSE))
    return;
  add_slot (&self, LOW_SLOT, 0, RAM);
  add_vcpu (&self);
  self.log = pv_dirty_log_new_kvm (self.vm, LOW_SLOT, RAM, &error);
  g_assert_no_error (error);
  check_following (&self);
  machine_close (&self);
}

static void
test_ring (void)
{
  Machine self;
  g_autoptr(GError) error = NULL;

  if (!machine_open_ring (&self))
    return;
  self.log = pv_dirty_log_new_kvm_ring (self.vm, &self.vcpu, 1, self.ring_size, slots, 2, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pv_dirty_log_get_n_pages (self.log), ==, RAM / PAGE);
  check_following (&self);
  machine_close (&self);
}

/* A turn writes to more pages than a ring has room for: the guest leaves KVM, goes on after a collect, and nothing of
 * what was collected is lost. */
static void
test_full (void)
{
  Machine self;
  g_autofree guint8 *mirror = g_malloc (RAM);
  g_autoptr(GError) error = NULL;

  if (!machine_open_ring (&self))
    return;
  self.log = pv_dirty_log_new_kvm_ring (self.vm, &self.vcpu, 1, self.ring_size, slots, 2, &error);
  g_assert_no_error (error);
  for (guint turn = 0; turn < 3; turn++)
    {
      memcpy (mirror, self.ram, RAM);
      self.full = 0;
      run_turn (&self);
      g_assert_cmpuint (self.full, >, 0);
      g_assert_cmpuint (follow (self.log, self.ram, mirror), ==, WRITTEN);
      g_assert_cmpint (memcmp (mirror, self.ram, RAM), ==, 0);
    }
  machine_close (&self);
}

/* Another log of the same rings goes on where the one before stopped. */
static void
test_again (void)
{
  Machine self;
  g_autofree guint8 *mirror = g_malloc (RAM);
  g_autoptr(GError) error = NULL;

  if (!machine_open_ring (&self))
    return;
  for (guint i = 0; i < 4; i++)
    {
      self.log = pv_dirty_log_new_kvm_ring (self.vm, &self.vcpu, 1, self.ring_size, slots, 2, &error);
      g_assert_no_error (error);
      memcpy (mirror, self.ram, RAM);
      run_turn (&self);
      g_assert_cmpuint (follow (self.log, self.ram, mirror), ==, WRITTEN);
      g_assert_cmpint (memcmp (mirror, self.ram, RAM), ==, 0);
      g_clear_pointer (&self.log, pv_dirty_log_free);
    }
  machine_close (&self);
}

static void
test_refused (void)
{
  Machine self;
  g_autoptr(GError) error = NULL;
  gsize size = 0;

  if (!machine_open_ring (&self))
    return;
  g_assert_false (pv_dirty_log_enable_kvm_ring (self.vm, &size, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (pv_dirty_log_new_kvm_ring (self.vm, &self.vcpu, 1, 100, slots, 2, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (pv_dirty_log_new_kvm_ring (self.vm, &self.vcpu, 1, self.ring_size, slots, 0, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  /* a slot that nobody named: its pages must not vanish unsaid */
  self.log = pv_dirty_log_new_kvm_ring (self.vm, &self.vcpu, 1, self.ring_size, slots, 1, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 2 * WRITTEN && error == NULL; i++)
    {
      g_assert_cmpint (ioctl (self.vcpu, KVM_RUN, 0), ==, 0);
      pv_dirty_log_collect (self.log, &error);
    }
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  machine_close (&self);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dirty-log-kvm/bitmap", test_bitmap);
  g_test_add_func ("/dirty-log-kvm/ring", test_ring);
  g_test_add_func ("/dirty-log-kvm/ring/full", test_full);
  g_test_add_func ("/dirty-log-kvm/ring/again", test_again);
  g_test_add_func ("/dirty-log-kvm/ring/refused", test_refused);
  return g_test_run ();
}
