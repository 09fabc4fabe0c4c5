/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/memory-view.h"

#include <fcntl.h>

#include "guest-fixture.h"
#include "restore/export.h"

#define XML "<domain type='qemu'><name>guest</name></domain>"
#define OTHER_XML "<domain type='qemu'><name>guest</name><title>served from somewhere else</title></domain>"

/* Pages of three kinds of blocks: data and holes in turns of all lengths, all data, all holes. */
static gboolean
page_has_data (guint block, guint64 page)
{
  if (block == 0)
    return (page / 7 + page % 5) % 3 == 0 || (page > 1500 && page < 2200);
  return block == 1;
}

static void
add_block (PvTxn *txn, PvStreamHead *head, guint index, const char *name, guint64 n_pages)
{
  guint64 size = n_pages * head->page_size;
  PvVolumeWriter *writer = add_volume (txn, PV_VOLUME_RAM, name, size);
  g_autofree guint8 *page = g_malloc (head->page_size);
  g_autoptr(GError) error = NULL;

  g_ptr_array_add (head->blocks, pv_ram_block_new (name, size, 0));
  for (guint64 i = 0; i < n_pages; i++)
    if (page_has_data (index, i))
      {
        fill_random (page, head->page_size, index * 100000 + i);
        g_assert_true (pv_volume_writer_write (writer, i * head->page_size, page, head->page_size, &error));
      }
  finish (writer);
}

static PvSnapshot *
make_guest (Fixture *f, guint page_size)
{
  g_autoptr(PvTxn) txn = begin (f, NULL, 0);
  g_autoptr(PvStreamHead) head = guest_head (page_size);

  add_block (txn, head, 0, "pc.ram", 2300);
  add_block (txn, head, 1, "/rom@etc/acpi/tables", 32);
  add_block (txn, head, 2, "vga.vram", 1024);
  add_block (txn, head, 3, "pc.bios", 1);
  guest_describe (txn, head, XML, "\4device state\0", 14);
  return commit (txn, "guest", "one");
}

/* (transfer full): what export writes. */
static GBytes *
export (Fixture *f, PvSnapshot *snapshot, const char *xml)
{
  g_autofree char *path = g_build_filename (f->root, "image", NULL);
  g_auto(PvFd) fd = open (path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  g_autoptr(GError) error = NULL;
  GBytes *bytes;

  g_assert_true (pv_export_memory (f->store, snapshot, xml, fd, path, NULL, NULL, NULL, &error));
  g_assert_no_error (error);
  bytes = pv_read_file (path, 1u << 30, &error);
  g_assert_no_error (error);
  return bytes;
}

static void
assert_part (PvMemoryView *view, const guint8 *image, guint64 offset, gsize size)
{
  g_autofree guint8 *part = g_malloc (size + 1);
  g_autoptr(GError) error = NULL;

  part[size] = 0xa5;
  g_assert_true (pv_memory_view_read (view, offset, size, part, &error));
  g_assert_no_error (error);
  g_assert_cmpmem (part, size, image + offset, size);
  g_assert_cmphex (part[size], ==, 0xa5);
}

static void
compare (Fixture *f, guint page_size, const char *xml)
{
  g_autoptr(PvSnapshot) snapshot = make_guest (f, page_size);
  g_autoptr(GBytes) image = export (f, snapshot, xml);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvMemoryView) view = pv_memory_view_new (f->store, snapshot, xml, &error);
  gsize size;
  const guint8 *data = g_bytes_get_data (image, &size);

  g_assert_no_error (error);
  g_assert_cmpuint (pv_memory_view_size (view), ==, size);
  assert_part (view, data, 0, size);
  assert_part (view, data, size, 0);
  for (guint i = 0; i < 2000; i++)
    {
      guint64 offset = (guint64) g_test_rand_double_range (0, (double) size);
      gsize most = i % 10 == 0 ? 300000 : i % 2 == 0 ? 5000 : 40;

      assert_part (view, data, offset, (gsize) g_test_rand_int_range (0, (gint32) MIN (most, size - offset) + 1));
    }
  for (guint i = 1; i < 300; i++) /* the end, byte by byte */
    assert_part (view, data, size - i, 1);
}

static void
small_pages (Fixture *f, gconstpointer data)
{
  compare (f, 4096, NULL);
}

static void
large_pages (Fixture *f, gconstpointer data)
{
  compare (f, 16384, NULL);
}

static void
another_description (Fixture *f, gconstpointer data)
{
  compare (f, 4096, OTHER_XML);
}

static void
no_memory (Fixture *f, gconstpointer data)
{
  g_autoptr(PvTxn) txn = begin (f, NULL, 0);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) error = NULL;

  finish (add_volume (txn, PV_VOLUME_DISK, "vda", MIB));
  snapshot = commit (txn, "guest", "disks");
  g_assert_null (pv_memory_view_new (f->store, snapshot, XML, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static void
volume_missing (Fixture *f, gconstpointer data)
{
  g_autoptr(PvTxn) txn = begin (f, NULL, 0);
  g_autoptr(PvStreamHead) head = pv_stream_head_new ();
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GError) error = NULL;

  head->version = 3;
  head->ram_version = 4;
  g_ptr_array_add (head->blocks, pv_ram_block_new ("pc.ram", 1u << 20, 0));
  bytes = pv_stream_head_serialize (head);
  guest_attach (txn, PV_ATTACH_STREAM_HEAD, bytes);
  finish (add_volume (txn, PV_VOLUME_RAM, "pc.ram", MIB / 2));
  snapshot = commit (txn, "guest", "half");
  g_assert_null (pv_memory_view_new (f->store, snapshot, XML, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/memory-view/small-pages", Fixture, NULL, fixture_setup, small_pages, fixture_teardown);
  g_test_add ("/memory-view/large-pages", Fixture, NULL, fixture_setup, large_pages, fixture_teardown);
  g_test_add ("/memory-view/another-description", Fixture, NULL, fixture_setup, another_description, fixture_teardown);
  g_test_add ("/memory-view/no-memory", Fixture, NULL, fixture_setup, no_memory, fixture_teardown);
  g_test_add ("/memory-view/volume-missing", Fixture, NULL, fixture_setup, volume_missing, fixture_teardown);
  return g_test_run ();
}
