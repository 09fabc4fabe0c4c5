/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/pack-list.h"

#include <string.h>

#include "util/error.h"

static PvName
name_of (guint8 seed)
{
  PvName name;

  pv_digest (&seed, 1, &name);
  return name;
}

static GBytes *
three_packs (PvName *snapshot)
{
  g_autoptr(PvPackList) list = NULL;

  *snapshot = name_of (9);
  list = pv_pack_list_new (PV_PACK_LIST_NEEDS, snapshot);
  for (guint8 i = 0; i < 3; i++)
    {
      PvName name = name_of (i);

      pv_pack_list_add (list, &name, 1000u + i, i == 1 ? 7 : 0);
    }
  pv_pack_list_add (list, &g_array_index (list->packs, PvRemotePack, 0).name, 1000, 0); /* again */
  list->time = 1700000000000123;
  return pv_pack_list_serialize (list);
}

static void
test_round_trip (void)
{
  PvName snapshot;
  g_autoptr(GBytes) bytes = three_packs (&snapshot);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackList) list = pv_pack_list_parse (bytes, PV_PACK_LIST_NEEDS, &snapshot, &error);
  guint64 sizes = 0, generations = 0;

  g_assert_no_error (error);
  g_assert_cmpuint (list->packs->len, ==, 3);
  g_assert_cmpint (list->time, ==, 1700000000000123);
  for (guint i = 0; i < 3; i++)
    {
      sizes += g_array_index (list->packs, PvRemotePack, i).size;
      generations += g_array_index (list->packs, PvRemotePack, i).generation;
    }
  g_assert_cmpuint (sizes, ==, 3003);
  g_assert_cmpuint (generations, ==, 7);
}

static void
assert_refused (GBytes *bytes, PvPackListKind kind, const PvName *snapshot)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackList) list = pv_pack_list_parse (bytes, kind, snapshot, &error);

  g_assert_null (list);
  g_assert_true (g_error_matches (error, PV_ERROR, PV_ERROR_CORRUPT)
                 || g_error_matches (error, PV_ERROR, PV_ERROR_UNSUPPORTED));
}

/* Put in the place of another object. */
static void
test_swapped (void)
{
  PvName snapshot, other = name_of (8);
  g_autoptr(GBytes) bytes = three_packs (&snapshot);

  assert_refused (bytes, PV_PACK_LIST_CONDEMNED, &snapshot);
  assert_refused (bytes, PV_PACK_LIST_NEEDS, &other);
  assert_refused (bytes, PV_PACK_LIST_NEEDS, NULL);
}

/* Every flipped bit and every shorter object is noticed. */
static void
test_damage (void)
{
  PvName snapshot;
  g_autoptr(GBytes) bytes = three_packs (&snapshot);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  for (gsize i = 0; i < size * 8; i++)
    {
      guint8 *copy = g_memdup2 (data, size);
      g_autoptr(GBytes) flipped = g_bytes_new_take (copy, size);

      copy[i / 8] ^= (guint8) (1u << i % 8);
      assert_refused (flipped, PV_PACK_LIST_NEEDS, &snapshot);
    }
  for (gsize i = 0; i < size; i++)
    {
      g_autoptr(GBytes) cut = g_bytes_new (data, i);

      assert_refused (cut, PV_PACK_LIST_NEEDS, &snapshot);
    }
}

/* With a digest that is right: only the layout is left to refuse them. */
static void
test_forged (void)
{
  PvName snapshot;
  g_autoptr(GBytes) bytes = three_packs (&snapshot);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  for (gsize i = 0; i < 16; i++)
    {
      guint8 *copy = g_memdup2 (data, size);
      g_autoptr(GBytes) forged = g_bytes_new_take (copy, size);

      copy[i] ^= 0x81;
      pv_digest (copy, size - PV_NAME_SIZE, (PvName *) (copy + size - PV_NAME_SIZE));
      assert_refused (forged, PV_PACK_LIST_NEEDS, &snapshot);
    }
}

static void
test_keys (void)
{
  static const char *const bad[] = {
    "packs/", "packs/00/", "snapshots/00/" "0000000000000000000000000000000000000000000000000000000000000001",
    "packs/01/" "0000000000000000000000000000000000000000000000000000000000000001",
    "packs/AB/" "AB00000000000000000000000000000000000000000000000000000000000001",
    "packs/00/" "0000000000000000000000000000000000000000000000000000000000000001.",
    "packs/00/" "0000000000000000000000000000000000000000000000000000000000000001.0",
    "packs/00/" "0000000000000000000000000000000000000000000000000000000000000001.01",
    "packs/00/" "0000000000000000000000000000000000000000000000000000000000000001.4294967296",
    "packs/00/" "0000000000000000000000000000000000000000000000000000000000000001/x",
    "packs/00/../../../etc/passwd",
  };
  PvName name = name_of (1), found;
  guint32 generation;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (pv_remote_pack_parse_key (bad[i], &found, &generation));
  for (guint64 i = 0; i <= G_MAXUINT32; i = i * 3 + 1)
    {
      g_autofree char *key = pv_remote_pack_key (&name, (guint32) i);

      g_assert_true (pv_remote_pack_parse_key (key, &found, &generation));
      g_assert_true (pv_name_equal (&name, &found));
      g_assert_cmpuint (generation, ==, i);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pack-list/round-trip", test_round_trip);
  g_test_add_func ("/pack-list/swapped", test_swapped);
  g_test_add_func ("/pack-list/damage", test_damage);
  g_test_add_func ("/pack-list/forged", test_forged);
  g_test_add_func ("/pack-list/keys", test_keys);
  return g_test_run ();
}
