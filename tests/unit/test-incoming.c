/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/incoming.h"

#include <errno.h>

#include "guest-fixture.h"
#include "restore/memory-view.h"

#define XML "<domain type='qemu'><name>guest</name><memory>4096</memory><os><type>hvm</type></os></domain>"
#define PARTIAL "LibvirtQemudPart"
#define COMPLETE "LibvirtQemudSave"
#define MAGIC_SIZE 16
#define HEADER_SIZE 92
/* What libqemu writes behind RAM: a section, the end of all, and a description. */
#define DEVICES "\4\0\0\0\3\3dev\0\0\0\0\0\0\0\1x\176\0\0\0\3\0\6\0\0\0\2{}"

typedef struct
{
  Fixture store;
  PvLibvirtLink *link; /* never started: there is no libvirt */
  guint8 *image;       /* as libvirt would write it, finished */
  gsize size;
} Saved;

static void
nobody_connects (PvConnection *connection, gpointer data)
{
}

static PvSnapshot *
make_guest (Fixture *f)
{
  g_autoptr(PvTxn) txn = begin (f, NULL, 0);
  g_autoptr(PvStreamHead) head = guest_head (PV_CHUNK_SIZE);
  g_autofree guint8 *data = g_malloc (2 * MIB);
  PvVolumeWriter *ram = add_volume (txn, PV_VOLUME_RAM, "pc.ram", 4 * MIB);
  g_autoptr(GError) error = NULL;

  g_ptr_array_add (head->blocks, pv_ram_block_new ("pc.ram", 4 * MIB, 0));
  fill_random (data, 2 * MIB, 1);
  g_assert_true (pv_volume_writer_write (ram, MIB, data, 2 * MIB, &error));
  finish (ram);
  guest_describe (txn, head, XML, DEVICES, sizeof DEVICES - 1);
  return commit (txn, "guest", "original");
}

static void
setup (Saved *f, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvMemoryView) view = NULL;
  g_autoptr(GError) error = NULL;

  fixture_setup (&f->store, NULL);
  f->link = pv_libvirt_link_new (nobody_connects, NULL);
  snapshot = make_guest (&f->store);
  view = pv_memory_view_new (f->store.store, snapshot, NULL, &error);
  g_assert_no_error (error);
  f->size = pv_memory_view_size (view);
  f->image = g_malloc (f->size + MIB);
  g_assert_true (pv_memory_view_read (view, 0, f->size, f->image, &error));
}

static void
teardown (Saved *f, gconstpointer data)
{
  pv_libvirt_link_free (f->link);
  g_free (f->image);
  fixture_teardown (&f->store, NULL);
}

/* Writes the image as libvirt does, in pieces of @step bytes, up to the last step; @size: of what is written. */
static PvIncoming *
write_unfinished (Saved *f, const char *name, gsize size, gsize step)
{
  PvIncoming *incoming = pv_incoming_new (f->store.store, f->link, "guest@x.save", "guest", name);

  pv_incoming_open (incoming);
  memcpy (f->image, PARTIAL, MAGIC_SIZE);
  for (gsize at = 0; at < size; at += step)
    g_assert_cmpint (pv_incoming_write (incoming, f->image + at, MIN (step, size - at), at), ==, MIN (step, size - at));
  memcpy (f->image, COMPLETE, MAGIC_SIZE);
  g_assert_cmpint (pv_incoming_flush (incoming), ==, 0);
  pv_incoming_close (incoming);
  g_assert_false (pv_incoming_done (incoming));
  return incoming;
}

/* (nullable) */
static PvSnapshot *
find (Saved *f, const char *name)
{
  return pv_store_lookup (f->store.store, "guest", name, NULL);
}

static void
assert_same (Saved *f, const char *name)
{
  g_autoptr(PvSnapshot) original = find (f, "original");
  g_autoptr(PvSnapshot) snapshot = find (f, name);
  static const struct
  {
    PvVolumeKind kind;
    const char *name;
  } volumes[] = { { PV_VOLUME_RAM, "pc.ram" }, { PV_VOLUME_BLOB, PV_BLOB_DEVICES } };

  g_assert_nonnull (snapshot);
  for (guint i = 0; i < G_N_ELEMENTS (volumes); i++)
    {
      const PvVolume *a = pv_snapshot_find_volume (original, volumes[i].kind, volumes[i].name);
      const PvVolume *b = pv_snapshot_find_volume (snapshot, volumes[i].kind, volumes[i].name);

      g_assert_cmpuint (a->size, ==, b->size);
      g_assert_true (pv_name_equal (&a->root, &b->root));
    }
  g_assert_cmpint (pv_snapshot_state (snapshot), ==, PV_GUEST_RUNNING);
}

static void
saved (Saved *f, gconstpointer data)
{
  static const gsize steps[] = { 1 << 20, 65536, 4096, 92, 1000003 };

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      g_autofree char *name = g_strdup_printf ("n%u", i);
      g_autoptr(PvIncoming) incoming = write_unfinished (f, name, f->size, steps[i]);

      g_assert_null (find (f, name));
      g_assert_cmpuint (pv_incoming_size (incoming), ==, f->size);
      g_assert_cmpint (pv_incoming_write (incoming, f->image, HEADER_SIZE, 0), ==, HEADER_SIZE);
      g_assert_true (pv_incoming_done (incoming));
      assert_same (f, name);
      g_assert_cmpint (pv_incoming_write (incoming, f->image, HEADER_SIZE, 0), ==, -EROFS);
    }
}

/* Past the page cache the last block is padded, and cut again. */
static void
padded (Saved *f, gconstpointer data)
{
  gsize size = (f->size + 65535) / 65536 * 65536;
  g_autoptr(PvIncoming) incoming = NULL;

  memset (f->image + f->size, 0, size - f->size);
  incoming = write_unfinished (f, "padded", size, 1 << 20);
  g_assert_cmpint (pv_incoming_truncate (incoming, f->size), ==, 0);
  g_assert_cmpint (pv_incoming_write (incoming, f->image, HEADER_SIZE, 0), ==, HEADER_SIZE);
  assert_same (f, "padded");
}

static void
copied (Saved *f, gconstpointer data)
{
  g_autoptr(PvIncoming) incoming = pv_incoming_new (f->store.store, f->link, "guest@x.save", "guest", "copy");

  g_assert_cmpint (pv_incoming_write (incoming, f->image, f->size, 0), ==, f->size);
  g_assert_null (find (f, "copy"));
  g_assert_cmpint (pv_incoming_flush (incoming), ==, 0);
  assert_same (f, "copy");
}

static void
not_whole (Saved *f, gconstpointer data)
{
  g_autoptr(PvIncoming) incoming = write_unfinished (f, "half", f->size / 2, 65536);

  g_assert_cmpint (pv_incoming_write (incoming, f->image, HEADER_SIZE, 0), ==, -EIO);
  g_assert_null (find (f, "half"));
  g_assert_true (pv_incoming_dead (incoming));
  g_assert_cmpint (pv_incoming_write (incoming, f->image, HEADER_SIZE, 0), ==, -EIO);
  /* from the start again */
  g_assert_cmpint (pv_incoming_truncate (incoming, 0), ==, 0);
  g_assert_cmpint (pv_incoming_write (incoming, f->image, f->size, 0), ==, f->size);
  g_assert_cmpint (pv_incoming_flush (incoming), ==, 0);
  assert_same (f, "half");
}

static void
refused (Saved *f, gconstpointer data)
{
  g_autoptr(PvIncoming) garbage = pv_incoming_new (f->store.store, f->link, "guest@x.save", "guest", "x");
  g_autoptr(PvIncoming) other = pv_incoming_new (f->store.store, f->link, "other@x.save", "other", "x");
  g_autoptr(PvIncoming) gap = pv_incoming_new (f->store.store, f->link, "guest@x.save", "guest", "x");
  g_autoptr(PvIncoming) cancelled = write_unfinished (f, "x", f->size, 65536);

  g_assert_cmpint (pv_incoming_write (garbage, f->image + 1, 4096, 0), ==, -EINVAL);
  g_assert_cmpint (pv_incoming_write (other, f->image, f->size, 0), ==, -EINVAL);
  g_assert_cmpint (pv_incoming_write (gap, f->image, 65536, 0), ==, 65536);
  g_assert_cmpint (pv_incoming_write (gap, f->image + 131072, 65536, 131072), ==, -ENOTSUP);
  pv_incoming_cancel (cancelled);
  g_assert_cmpint (pv_incoming_write (cancelled, f->image, HEADER_SIZE, 0), ==, -ECANCELED);
  g_assert_null (find (f, "x"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK); /* warnings are the daemon's log */
  g_test_add ("/incoming/saved", Saved, NULL, setup, saved, teardown);
  g_test_add ("/incoming/padded", Saved, NULL, setup, padded, teardown);
  g_test_add ("/incoming/copied", Saved, NULL, setup, copied, teardown);
  g_test_add ("/incoming/not-whole", Saved, NULL, setup, not_whole, teardown);
  g_test_add ("/incoming/refused", Saved, NULL, setup, refused, teardown);
  return g_test_run ();
}
