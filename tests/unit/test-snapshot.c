/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/snapshot.h"

#include <string.h>

#include "util/error.h"

static const PvSnapshotMeta usual = { .domain = "web1",
                                      .name = "before-upgrade",
                                      .parent = "yesterday",
                                      .description = "Gr\303\274\303\237e",
                                      .time = 1700000000000123,
                                      .state = PV_GUEST_PAUSED };

static PvVolume
make_volume (PvVolumeKind kind, const char *name, guint64 size, guint8 fill)
{
  PvVolume volume = { .kind = kind, .name = (char *) name, .size = size };

  memset (volume.root.bytes, fill, PV_NAME_SIZE);
  return volume;
}

static PvSnapshot *
make_snapshot (void)
{
  const PvVolume volumes[] = { make_volume (PV_VOLUME_RAM, "pc.ram", 1 << 30, 1),
                               make_volume (PV_VOLUME_RAM, "/rom@etc/acpi/tables", 0x20000, 2),
                               make_volume (PV_VOLUME_DISK, "vda", 12345, 0) };
  g_autoptr(GHashTable) attachments = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                                            (GDestroyNotify) g_bytes_unref);
  g_autoptr(GError) error = NULL;
  PvSnapshot *snapshot;

  g_hash_table_insert (attachments, (char *) "xml", g_bytes_new_static ("<domain/>", 9));
  g_hash_table_insert (attachments, (char *) "cookie", g_bytes_new_static ("", 0));
  snapshot = pv_snapshot_new (&usual, volumes, G_N_ELEMENTS (volumes), attachments, 4711, &error);
  g_assert_no_error (error);
  return snapshot;
}

static void
check_content (PvSnapshot *snapshot)
{
  g_autoptr(GPtrArray) names = pv_snapshot_attachments (snapshot);

  g_assert_cmpstr (pv_snapshot_full_name (snapshot), ==, "web1@before-upgrade");
  g_assert_cmpstr (pv_snapshot_domain (snapshot), ==, "web1");
  g_assert_cmpstr (pv_snapshot_name (snapshot), ==, "before-upgrade");
  g_assert_cmpstr (pv_snapshot_parent (snapshot), ==, "yesterday");
  g_assert_cmpstr (pv_snapshot_description (snapshot), ==, usual.description);
  g_assert_cmpint (pv_snapshot_time (snapshot), ==, 1700000000000123);
  g_assert_cmpstr (pv_guest_state_to_string (pv_snapshot_state (snapshot)), ==, "paused");
  g_assert_cmpuint (pv_snapshot_stored_size (snapshot), ==, 4711);
  g_assert_cmpuint (pv_snapshot_n_volumes (snapshot), ==, 3);
  g_assert_cmpstr (pv_snapshot_volume (snapshot, 0)->name, ==, "/rom@etc/acpi/tables");
  g_assert_cmpstr (pv_snapshot_volume (snapshot, 1)->name, ==, "pc.ram");
  g_assert_cmpuint (pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM), ==, (1 << 30) + 0x20000);
  g_assert_cmpuint (pv_snapshot_find_volume (snapshot, PV_VOLUME_DISK, "vda")->size, ==, 12345);
  g_assert_cmpuint (pv_snapshot_find_volume (snapshot, PV_VOLUME_RAM, "pc.ram")->root.bytes[31], ==, 1);
  g_assert_null (pv_snapshot_find_volume (snapshot, PV_VOLUME_RAM, "vda"));
  g_assert_cmpuint (names->len, ==, 2);
  g_assert_cmpstr (names->pdata[0], ==, "cookie");
  g_assert_cmpstr (names->pdata[1], ==, "xml");
  g_assert_cmpuint (g_bytes_get_size (pv_snapshot_attachment (snapshot, "xml")), ==, 9);
  g_assert_cmpuint (g_bytes_get_size (pv_snapshot_attachment (snapshot, "cookie")), ==, 0);
  g_assert_null (pv_snapshot_attachment (snapshot, "other"));
}

/* Documents are kept compressed, and come back as they were. */
static void
test_compressed (void)
{
  g_autoptr(GHashTable) attachments = g_hash_table_new (g_str_hash, g_str_equal);
  g_autofree char *text = g_strnfill (20000, 'x');
  g_autoptr(GBytes) document = g_bytes_new (text, 20000);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvSnapshot) parsed = NULL;
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GError) error = NULL;

  g_hash_table_insert (attachments, (char *) "xml", document);
  snapshot = pv_snapshot_new (&usual, NULL, 0, attachments, 0, &error);
  g_assert_no_error (error);
  bytes = pv_snapshot_serialize (snapshot);
  g_assert_cmpuint (g_bytes_get_size (bytes), <, 1000);
  parsed = pv_snapshot_parse (bytes, 0, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (pv_snapshot_attachment (parsed, "xml"), document));
}

static void
test_round_trip (void)
{
  g_autoptr(PvSnapshot) snapshot = make_snapshot ();
  g_autoptr(GBytes) bytes = pv_snapshot_serialize (snapshot);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvSnapshot) parsed = pv_snapshot_parse (bytes, 4711, &error);
  g_autoptr(GBytes) again = NULL;

  g_assert_no_error (error);
  check_content (snapshot);
  check_content (parsed);
  again = pv_snapshot_serialize (parsed);
  g_assert_true (g_bytes_equal (bytes, again));
  g_assert_true (pv_name_equal (pv_snapshot_id (snapshot), pv_snapshot_id (parsed)));
}

/* Whatever is cut off or changed, the parser refuses it or gives a snapshot with another id: never a crash, never the
 * same. */
static void
test_damage (void)
{
  g_autoptr(PvSnapshot) snapshot = make_snapshot ();
  g_autoptr(GBytes) bytes = pv_snapshot_serialize (snapshot);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  for (gsize i = 0; i < size; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GBytes) cut = g_bytes_new (data, i);
      g_autofree guint8 *copy = g_memdup2 (data, size);
      g_autoptr(GBytes) flipped = NULL;
      g_autoptr(PvSnapshot) other = NULL;

      g_assert_null (pv_snapshot_parse (cut, 0, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      copy[i] ^= 0x10;
      flipped = g_bytes_new (copy, size);
      other = pv_snapshot_parse (flipped, 0, NULL);
      g_assert_true (other == NULL || !pv_name_equal (pv_snapshot_id (other), pv_snapshot_id (snapshot)));
    }
}

static void
refuse (const PvSnapshotMeta *meta, const PvVolume *volumes, guint n_volumes, GHashTable *attachments)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_snapshot_new (meta, volumes, n_volumes, attachments, 0, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

static void
test_refused (void)
{
  const PvVolume twice[] = { make_volume (PV_VOLUME_RAM, "ram", 1, 1), make_volume (PV_VOLUME_RAM, "ram", 2, 1) };
  const PvVolume huge = make_volume (PV_VOLUME_DISK, "vda", PV_VOLUME_SIZE_MAX + 1, 1);
  const PvVolume empty = make_volume (PV_VOLUME_DISK, "vda", 0, 1);
  const PvVolume odd_kind = make_volume (9, "vda", 1, 1);
  const PvVolume odd_name = make_volume (PV_VOLUME_DISK, "a\nb", 1, 1);
  g_autofree char *long_name = g_strnfill (PV_VOLUME_NAME_MAX + 1, 'x');
  const PvVolume long_named = make_volume (PV_VOLUME_DISK, long_name, 1, 1);
  g_autoptr(GHashTable) attachments = g_hash_table_new (g_str_hash, g_str_equal);
  g_autofree guint8 *bulk = g_malloc0 (PV_ATTACHMENT_MAX + 1);
  g_autoptr(GBytes) too_big = g_bytes_new_static (bulk, PV_ATTACHMENT_MAX + 1);
  PvSnapshotMeta meta = usual;

  refuse (&usual, twice, 2, NULL);
  refuse (&usual, &huge, 1, NULL);
  refuse (&usual, &odd_kind, 1, NULL);
  refuse (&usual, &odd_name, 1, NULL);
  refuse (&usual, &long_named, 1, NULL);
  g_hash_table_insert (attachments, (char *) "x", too_big);
  refuse (&usual, NULL, 0, attachments);
  meta.domain = "../x";
  refuse (&meta, NULL, 0, NULL);
  meta = usual;
  meta.parent = "a@b";
  refuse (&meta, NULL, 0, NULL);
  meta = usual;
  meta.state = 0;
  refuse (&meta, NULL, 0, NULL);
  refuse (&usual, &empty, 1, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/snapshot/round-trip", test_round_trip);
  g_test_add_func ("/snapshot/compressed", test_compressed);
  g_test_add_func ("/snapshot/damage", test_damage);
  g_test_add_func ("/snapshot/refused", test_refused);
  return g_test_run ();
}
