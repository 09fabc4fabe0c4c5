/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/disk-source.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "store/volume-reader.h"
#include "util/error.h"
#include "util/file.h"

#define MIB (1ull << 20)

typedef struct
{
  char *directory; /* (owned) */
  PvStore *store;  /* (owned) */
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *store = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  store = g_build_filename (self->directory, "store", NULL);
  self->store = pv_store_open (store, PV_STORE_OPEN_CREATE, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  pv_store_unref (self->store);
  pv_remove_tree (self->directory, NULL);
  g_free (self->directory);
}

/* Runs a command with "%s" standing for the fixture's directory. */
static void
run (Fixture *self, const char *command)
{
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) parts = g_strsplit (command, "DIR", -1);
  g_autofree char *line = g_strjoinv (self->directory, parts);
  g_autofree char *out = NULL, *err = NULL;
  int status;

  g_spawn_command_line_sync (line, &out, &err, &status, &error);
  g_assert_no_error (error);
  if (status != 0)
    g_error ("%s: %s%s", line, out, err);
}

/* Copies disk @name into snapshot d@@snapshot and compares it with what qemu-img makes of it. */
static PvTxnStats
copy_and_compare (Fixture *self, const char *name, const char *format, const char *snapshot, guint new_layers)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_build_filename (self->directory, name, NULL);
  g_autofree char *raw = g_build_filename (self->directory, "compare.raw", NULL);
  g_autofree char *convert = g_strdup_printf ("qemu-img convert -f %s -O raw DIR/%s DIR/compare.raw", format, name);
  g_autofree guint8 *bytes = NULL;
  g_autofree char *expected = NULL;
  g_autoptr(PvDiskSource) source = pv_disk_source_open (path, format, self->directory, &error);
  g_autoptr(PvSnapshot) base = NULL;
  g_autoptr(PvSnapshot) made = NULL;
  g_autoptr(PvTxn) txn = NULL;
  g_autoptr(PvVolumeReader) reader = NULL;
  PvVolumeWriter *writer;
  PvTxnStats stats;
  gsize size;

  g_assert_no_error (error);
  base = pv_store_latest (self->store, "d", &error);
  txn = pv_store_begin (self->store, &(PvTxnOptions){ .base = base }, &error);
  g_assert_no_error (error);
  writer = pv_txn_add_volume (txn, PV_VOLUME_DISK, "vda", pv_disk_source_size (source), &error);
  g_assert_no_error (error);
  pv_disk_source_copy (source, writer, new_layers, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  pv_volume_writer_finish (writer, &error);
  g_assert_no_error (error);
  made = pv_txn_commit (
      txn, &(PvSnapshotMeta){ .domain = "d", .name = snapshot, .time = 1, .state = PV_GUEST_SHUTOFF }, &error);
  g_assert_no_error (error);
  pv_txn_stats (txn, &stats);

  run (self, convert);
  g_file_get_contents (raw, &expected, &size, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (size, ==, pv_disk_source_size (source));
  reader = pv_volume_reader_new (self->store, pv_snapshot_find_volume (made, PV_VOLUME_DISK, "vda"), &error);
  g_assert_no_error (error);
  bytes = g_malloc (size);
  pv_volume_reader_read (reader, 0, size, bytes, &error);
  g_assert_no_error (error);
  g_assert_true (memcmp (bytes, expected, size) == 0);
  return stats;
}

static void
test_raw (Fixture *self, gconstpointer data)
{
  PvTxnStats stats;

  /* A size that is no multiple of a chunk, and data at places that are none either. */
  run (self, "qemu-img create -q -f raw DIR/a.raw 9437696");
  run (self, "qemu-io -f raw -c 'write -P 17 1536 512' -c 'write -P 34 4194304 2097152' -c 'write -P 51 9437184 512' "
             "DIR/a.raw");
  stats = copy_and_compare (self, "a.raw", "raw", "one", 0);
  g_assert_cmpuint (stats.scanned_bytes, <, 4 * MIB);
  g_assert_cmpuint (stats.scanned_bytes, >, 2 * MIB);
}

static void
test_qcow2_chain (Fixture *self, gconstpointer data)
{
  PvTxnStats stats;

  run (self, "qemu-img create -q -f qcow2 DIR/base.qcow2 64M");
  run (self, "qemu-io -f qcow2 -c 'write -P 1 0 8M' -c 'write -P 2 20M 3M' DIR/base.qcow2");
  run (self, "qemu-img create -q -f qcow2 -b DIR/base.qcow2 -F qcow2 DIR/top.qcow2");
  run (self, "qemu-io -f qcow2 -c 'write -P 3 1M 1M' -c 'write -z 4M 1M' -c 'write -P 4 40M 64k' DIR/top.qcow2");
  copy_and_compare (self, "top.qcow2", "qcow2", "one", 0);

  /* A layer more: of the chain only what the new layer has is read, the rest is as in snapshot one. */
  run (self, "qemu-img create -q -f qcow2 -b DIR/top.qcow2 -F qcow2 DIR/newer.qcow2");
  run (self, "qemu-io -f qcow2 -c 'write -P 5 21M 128k' -c 'write -z 1M 64k' DIR/newer.qcow2");
  stats = copy_and_compare (self, "newer.qcow2", "qcow2", "two", 1);
  g_assert_cmpuint (stats.scanned_bytes, <=, 256 << 10);
}

static void
test_strange_path (Fixture *self, gconstpointer data)
{
  run (self, "qemu-img create -q -f raw \"DIR/a,b=c:d {x}\" 1M");
  run (self, "qemu-io -f raw -c 'write -P 7 0 64k' \"DIR/a,b=c:d {x}\"");
  run (self, "cp \"DIR/a,b=c:d {x}\" DIR/plain.raw");
  {
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename (self->directory, "a,b=c:d {x}", NULL);
    g_autoptr(PvDiskSource) source = pv_disk_source_open (path, "raw", self->directory, &error);

    g_assert_no_error (error);
    g_assert_cmpuint (pv_disk_source_size (source), ==, MIB);
  }
}

static void
test_refused (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_build_filename (self->directory, "missing.raw", NULL);
  g_autofree char *raw = g_build_filename (self->directory, "a.raw", NULL);
  PvDiskSource *source = pv_disk_source_open (path, "raw", self->directory, &error);

  g_assert_null (source);
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "missing.raw"));
  g_clear_error (&error);

  run (self, "qemu-img create -q -f raw DIR/a.raw 1M");
  source = pv_disk_source_open (raw, "qcow2", self->directory, &error);
  g_assert_null (source);
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "a.raw"));
}

static void
test_cancelled (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *path = g_build_filename (self->directory, "a.raw", NULL);
  g_autoptr(PvDiskSource) source = NULL;
  g_autoptr(PvTxn) txn = NULL;
  PvVolumeWriter *writer;

  run (self, "qemu-img create -q -f raw DIR/a.raw 8M");
  run (self, "qemu-io -f raw -c 'write -P 7 0 8M' DIR/a.raw");
  source = pv_disk_source_open (path, "raw", self->directory, &error);
  g_assert_no_error (error);
  txn = pv_store_begin (self->store, &(PvTxnOptions){ 0 }, &error);
  g_assert_no_error (error);
  writer = pv_txn_add_volume (txn, PV_VOLUME_DISK, "vda", 8 * MIB, &error);
  g_assert_no_error (error);
  g_cancellable_cancel (cancellable);
  g_assert_false (pv_disk_source_copy (source, writer, 0, NULL, NULL, cancellable, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CANCELLED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/disk-source/raw", Fixture, NULL, set_up, test_raw, tear_down);
  g_test_add ("/disk-source/qcow2-chain", Fixture, NULL, set_up, test_qcow2_chain, tear_down);
  g_test_add ("/disk-source/strange-path", Fixture, NULL, set_up, test_strange_path, tear_down);
  g_test_add ("/disk-source/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add ("/disk-source/cancelled", Fixture, NULL, set_up, test_cancelled, tear_down);
  return g_test_run ();
}
