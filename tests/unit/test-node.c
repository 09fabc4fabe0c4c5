/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/node.h"

#include "util/error.h"

static PvNode *
make_node (guint level, guint n_entries, guint32 seed)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (seed);
  PvNode *node = g_new0 (PvNode, 1);

  node->level = level;
  node->n_entries = n_entries;
  for (guint i = 0; i < n_entries; i++)
    for (guint j = 0; j < PV_NAME_SIZE; j++)
      node->entries[i].bytes[j] = (guint8) g_rand_int (random);
  return node;
}

/* Changes @n_changes entries, spread evenly. */
static PvNode *
change (const PvNode *base, guint n_changes)
{
  PvNode *node = g_memdup2 (base, sizeof *base);

  for (guint i = 0; i < n_changes; i++)
    node->entries[(gsize) i * base->n_entries / n_changes].bytes[7] ^= 0x55;
  return node;
}

static void
name_node (const PvNode *node, PvName *name)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);

  pv_namer_node (namer, node->level, node->entries, node->n_entries, name);
}

static void
test_full (void)
{
  static const guint counts[] = { 1, 2, 127, 128, 511, 512 };

  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      g_autofree PvNode *node = make_node (i % 4, counts[i], i);
      g_autofree PvNode *again = g_new0 (PvNode, 1);
      g_autoptr(GByteArray) bytes = g_byte_array_new ();
      g_autoptr(GError) error = NULL;
      PvNodeHead head;

      pv_node_encode_full (node, bytes);
      g_assert_cmpuint (bytes->len, ==, PV_NODE_FULL_HEADER + counts[i] * PV_NAME_SIZE);
      g_assert_true (pv_node_peek (bytes->data, bytes->len, &head, &error));
      g_assert_false (head.delta);
      g_assert_cmpuint (head.level, ==, i % 4);
      g_assert_cmpuint (head.n_entries, ==, counts[i]);
      g_assert_true (pv_name_is_zero (&head.base));
      g_assert_true (pv_node_decode (bytes->data, bytes->len, NULL, again, &error));
      g_assert_no_error (error);
      g_assert_true (pv_node_equal (node, again));
    }
}

static void
test_delta (void)
{
  static const guint changes[] = { 1, 2, 31, 300, 508 };
  g_autofree PvNode *base = make_node (0, PV_NODE_FANOUT, 1);
  PvName base_name;

  name_node (base, &base_name);
  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      g_autofree PvNode *node = change (base, changes[i]);
      g_autofree PvNode *again = g_new0 (PvNode, 1);
      g_autoptr(GByteArray) bytes = g_byte_array_new ();
      g_autoptr(GError) error = NULL;
      PvName name, name_again;
      PvNodeHead head;

      g_assert_cmpuint (pv_node_count_changes (node, base), ==, changes[i]);
      g_assert_true (pv_node_encode_delta (node, base, &base_name, 0, bytes));
      g_assert_cmpuint (bytes->len, ==, PV_NODE_DELTA_HEADER + changes[i] * PV_NAME_SIZE);
      g_assert_true (pv_node_peek (bytes->data, bytes->len, &head, &error));
      g_assert_true (head.delta);
      g_assert_true (pv_name_equal (&head.base, &base_name));
      g_assert_true (pv_node_decode (bytes->data, bytes->len, base, again, &error));
      g_assert_no_error (error);
      g_assert_true (pv_node_equal (node, again));
      name_node (node, &name);
      name_node (again, &name_again);
      g_assert_true (pv_name_equal (&name, &name_again));
      g_assert_false (pv_name_equal (&name, &base_name));
    }
}

/* A leaf in which one page changed costs about 130 bytes, not 16 KiB. */
static void
test_delta_is_small (void)
{
  g_autofree PvNode *base = make_node (0, PV_NODE_FANOUT, 1);
  g_autofree PvNode *node = change (base, 1);
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  PvName base_name;

  name_node (base, &base_name);
  g_assert_true (pv_node_encode_delta (node, base, &base_name, 1, bytes));
  g_assert_cmpuint (bytes->len, ==, 132);
}

static void
test_holes_come_and_go (void)
{
  g_autofree PvNode *base = make_node (0, 100, 1);
  g_autofree PvNode *node = g_memdup2 (base, sizeof *base);
  g_autofree PvNode *again = g_new0 (PvNode, 1);
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  PvName base_name;

  memset (&base->entries[3], 0, PV_NAME_SIZE);
  memset (&node->entries[99], 0, PV_NAME_SIZE);
  name_node (base, &base_name);
  g_assert_true (pv_node_encode_delta (node, base, &base_name, 0, bytes));
  g_assert_true (pv_node_decode (bytes->data, bytes->len, base, again, &error));
  g_assert_no_error (error);
  g_assert_true (pv_node_equal (node, again));
}

static void
test_delta_not_worth_it (void)
{
  g_autofree PvNode *base = make_node (0, PV_NODE_FANOUT, 1);
  g_autofree PvNode *shorter = make_node (0, 511, 1);
  g_autofree PvNode *higher = make_node (1, PV_NODE_FANOUT, 1);
  g_autofree PvNode *same = change (base, 0);
  g_autofree PvNode *all = change (base, 509);
  g_autofree PvNode *few = change (base, 32);
  g_autofree PvNode *many = change (base, 33);
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  PvName base_name;

  name_node (base, &base_name);
  g_assert_false (pv_node_encode_delta (shorter, base, &base_name, 0, bytes));
  g_assert_false (pv_node_encode_delta (higher, base, &base_name, 0, bytes));
  g_assert_false (pv_node_encode_delta (same, base, &base_name, 0, bytes));
  g_assert_false (pv_node_encode_delta (all, base, &base_name, 0, bytes));
  /* One page per snapshot: after 32 of them a new FULL node is cheaper in the long run. */
  g_assert_false (pv_node_encode_delta (many, base, &base_name, 1, bytes));
  g_assert_cmpuint (bytes->len, ==, 0);
  g_assert_true (pv_node_encode_delta (few, base, &base_name, 1, bytes));
  g_byte_array_set_size (bytes, 0);
  g_assert_true (pv_node_encode_delta (many, base, &base_name, 33, bytes));
}

static void
assert_refused (const guint8 *data, gsize size, const PvNode *base, int code)
{
  g_autofree PvNode *node = g_new0 (PvNode, 1);
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_node_decode (data, size, base, node, &error));
  g_assert_error (error, PV_ERROR, code);
}

static void
test_truncated (void)
{
  g_autofree PvNode *base = make_node (2, 20, 1);
  g_autofree PvNode *node = change (base, 2);
  g_autoptr(GByteArray) full = g_byte_array_new (), delta = g_byte_array_new ();
  PvName base_name;

  name_node (base, &base_name);
  pv_node_encode_full (node, full);
  g_assert_true (pv_node_encode_delta (node, base, &base_name, 0, delta));
  for (guint i = 0; i < 2; i++)
    {
      const GByteArray *bytes = i == 0 ? full : delta;

      for (gsize size = 0; size < bytes->len; size++)
        {
          g_autofree guint8 *exact = g_memdup2 (bytes->data, size);

          assert_refused (exact, size, base, PV_ERROR_CORRUPT);
        }
    }
  g_byte_array_append (full, (const guint8 *) "", 1);
  assert_refused (full->data, full->len, base, PV_ERROR_CORRUPT);
}

static void
test_hostile (void)
{
  g_autofree PvNode *base = make_node (0, 20, 1);
  g_autofree PvNode *other_level = make_node (1, 20, 1);
  g_autofree PvNode *other_count = make_node (0, 21, 1);
  g_autofree PvNode *node = change (base, 1);
  g_autoptr(GByteArray) delta = g_byte_array_new (), zeros = g_byte_array_new ();
  PvName base_name;

  name_node (base, &base_name);
  g_assert_true (pv_node_encode_delta (node, base, &base_name, 0, delta));
  /* A DELTA of a DELTA: the reader of a base passes none. */
  assert_refused (delta->data, delta->len, NULL, PV_ERROR_CORRUPT);
  assert_refused (delta->data, delta->len, other_level, PV_ERROR_CORRUPT);
  assert_refused (delta->data, delta->len, other_count, PV_ERROR_CORRUPT);

  delta->data[0] = 3;
  assert_refused (delta->data, delta->len, base, PV_ERROR_UNSUPPORTED);
  delta->data[0] = 2;
  delta->data[1] = PV_NODE_LEVEL_MAX + 1;
  assert_refused (delta->data, delta->len, base, PV_ERROR_CORRUPT);
  delta->data[1] = 0;
  delta->data[36 + 2] |= 0x10; /* slot 20 of 20 */
  assert_refused (delta->data, delta->len, base, PV_ERROR_CORRUPT);
  delta->data[36 + 2] = 0;
  delta->data[36] = 0;
  assert_refused (delta->data, PV_NODE_DELTA_HEADER, base, PV_ERROR_CORRUPT); /* changes nothing */
  delta->data[36] = 1;
  memset (delta->data + 4, 0, PV_NAME_SIZE);
  assert_refused (delta->data, delta->len, base, PV_ERROR_CORRUPT); /* no base */

  g_byte_array_set_size (zeros, PV_NODE_FULL_HEADER + 2 * PV_NAME_SIZE);
  memset (zeros->data, 0, zeros->len);
  zeros->data[0] = 1;
  zeros->data[2] = 2;
  assert_refused (zeros->data, zeros->len, NULL, PV_ERROR_CORRUPT); /* a hole stored as a node */
  zeros->data[2] = 0;
  assert_refused (zeros->data, PV_NODE_FULL_HEADER, NULL, PV_ERROR_CORRUPT); /* no entries */
  zeros->data[3] = 3;
  assert_refused (zeros->data, zeros->len, NULL, PV_ERROR_CORRUPT); /* 768 entries */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/node/full", test_full);
  g_test_add_func ("/node/delta", test_delta);
  g_test_add_func ("/node/delta-is-small", test_delta_is_small);
  g_test_add_func ("/node/holes-come-and-go", test_holes_come_and_go);
  g_test_add_func ("/node/delta-not-worth-it", test_delta_not_worth_it);
  g_test_add_func ("/node/truncated", test_truncated);
  g_test_add_func ("/node/hostile", test_hostile);
  return g_test_run ();
}
