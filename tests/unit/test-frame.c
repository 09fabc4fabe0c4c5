/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/frame.h"

#include "util/error.h"

/* Half of each chunk is noise, so that zstd finds something to do; @noise FALSE: text only. */
static GByteArray *
make_plain (guint n_slots, gboolean noise)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (n_slots);
  g_autoptr(GByteArray) plain = g_byte_array_new ();

  g_byte_array_set_size (plain, n_slots * PV_CHUNK_SIZE);
  for (guint i = 0; i < plain->len; i++)
    plain->data[i] = noise && i % PV_CHUNK_SIZE < 2048 ? (guint8) g_rand_int (random) : (guint8) "pagevault"[i % 9];
  return g_steal_pointer (&plain);
}

static GByteArray *
encode (PvFrameCodec *codec, PvFrameKind kind, guint n_slots, const guint8 *plain, gsize plain_size)
{
  g_autoptr(GByteArray) out = g_byte_array_new ();
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_frame_encode (codec, kind, n_slots, plain, plain_size, out, &error));
  g_assert_no_error (error);
  return g_steal_pointer (&out);
}

static gboolean
decodes (const guint8 *data, gsize size, GError **error)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  PvFrameInfo info;

  return pv_frame_decode (codec, data, size, &info, plain, PV_FRAME_PLAIN_MAX, error);
}

static void
test_round_trip (void)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain_again = g_malloc (PV_FRAME_PLAIN_MAX);

  for (guint n_slots = 1; n_slots <= PV_FRAME_CHUNKS; n_slots++)
    {
      g_autoptr(GByteArray) plain = make_plain (n_slots, n_slots % 2);
      g_autoptr(GByteArray) frame = encode (codec, PV_FRAME_KIND_CHUNKS, n_slots, plain->data, plain->len);
      g_autoptr(GError) error = NULL;
      PvFrameInfo info, head;

      g_assert_cmpuint (frame->len, <, plain->len);
      g_assert_true (pv_frame_info (frame->data, PV_FRAME_HEADER_SIZE, &head, &error));
      g_assert_true (pv_frame_check (frame->data, frame->len, NULL, &error));
      g_assert_true (pv_frame_decode (codec, frame->data, frame->len, &info, plain_again, PV_FRAME_PLAIN_MAX, &error));
      g_assert_no_error (error);
      g_assert_cmpmem (plain->data, plain->len, plain_again, info.plain_size);
      g_assert_cmpint (info.kind, ==, PV_FRAME_KIND_CHUNKS);
      g_assert_cmpuint (info.n_slots, ==, n_slots);
      g_assert_cmpuint (info.stored_size, ==, frame->len);
      g_assert_cmpuint (head.stored_size, ==, frame->len);
      g_assert_cmpuint (head.checksum, ==, info.checksum);
    }
}

/* What zstd cannot make smaller is stored as it is: no frame grows by more than its header. */
static void
test_incompressible (void)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GRand) random = g_rand_new_with_seed (1);
  guint8 plain[2 * PV_CHUNK_SIZE];
  g_autoptr(GByteArray) frame = NULL;
  g_autoptr(GError) error = NULL;

  for (gsize i = 0; i < sizeof plain; i++)
    plain[i] = (guint8) g_rand_int (random);
  frame = encode (codec, PV_FRAME_KIND_CHUNKS, 2, plain, sizeof plain);
  g_assert_cmpuint (frame->len, ==, PV_FRAME_HEADER_SIZE + sizeof plain);
  g_assert_cmpmem (frame->data + PV_FRAME_HEADER_SIZE, sizeof plain, plain, sizeof plain);
  g_assert_true (decodes (frame->data, frame->len, &error));
  g_assert_no_error (error);
}

static void
test_nodes_and_append (void)
{
  static const char text[] = "items of a NODES frame may have any length, and frames are appended to what is there";
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GByteArray) out = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  guint8 plain[sizeof text];
  PvFrameInfo info;

  g_byte_array_append (out, (const guint8 *) "before", 6);
  g_assert_true (pv_frame_encode (codec, PV_FRAME_KIND_NODES, 3, (const guint8 *) text, sizeof text, out, &error));
  g_assert_cmpmem (out->data, 6, "before", 6);
  g_assert_true (pv_frame_decode (codec, out->data + 6, out->len - 6, &info, plain, sizeof plain, &error));
  g_assert_no_error (error);
  g_assert_cmpint (info.kind, ==, PV_FRAME_KIND_NODES);
  g_assert_cmpuint (info.n_slots, ==, 3);
  g_assert_cmpmem (plain, info.plain_size, text, sizeof text);
}

/* The layout is a promise. A frame of two chunks, "page" repeated and "pag" repeated, as version 1 wrote it: */
static void
test_golden_read (void)
{
  static const guint8 frame[] = {
    0x50, 0x56, 0x66, 0x72, 0x61, 0x6d, 0x65, 0x0a, 0xc0, 0x28, 0xdb, 0xea, 0xba, 0x34, 0x4a,
    0xe2, 0x01, 0x01, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x1c, 0x00,
    0x00, 0x00, 0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x00, 0x1f, 0x95, 0x00, 0x00, 0x38, 0x70, 0x61,
    0x67, 0x65, 0x61, 0x67, 0x70, 0x02, 0x00, 0xfa, 0xd7, 0xf9, 0x23, 0xff, 0xfb, 0x8e, 0x08,
  };
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GError) error = NULL;
  guint8 plain[2 * PV_CHUNK_SIZE];
  PvFrameInfo info;

  g_assert_true (pv_frame_decode (codec, frame, sizeof frame, &info, plain, sizeof plain, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < sizeof plain; i++)
    g_assert_cmpuint (plain[i], ==, (guint8) "page"[i % (i < PV_CHUNK_SIZE ? 4 : 3)]);
}

/* What cannot be compressed looks the same whatever zstd is installed. */
static void
test_golden_write (void)
{
  static const char expected[] = "PVframe\n"
                                 "\026\241\022\122\230\146\134\164"
                                 "\002\0\0\0\002\0\0\0\011\0\0\0\011\0\0\0"
                                 "pagevault";
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GByteArray) frame = encode (codec, PV_FRAME_KIND_NODES, 2, (const guint8 *) "pagevault", 9);

  g_assert_cmpmem (frame->data, frame->len, expected, sizeof expected - 1);
}

static void
test_every_flipped_bit (void)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GByteArray) plain = make_plain (1, TRUE);
  g_autoptr(GByteArray) frame = encode (codec, PV_FRAME_KIND_CHUNKS, 1, plain->data, plain->len);

  for (guint bit = 0; bit < frame->len * 8; bit++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GError) check_error = NULL;

      frame->data[bit / 8] ^= (guint8) (1u << (bit % 8));
      g_assert_false (decodes (frame->data, frame->len, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      g_assert_false (pv_frame_check (frame->data, frame->len, NULL, &check_error));
      g_assert_error (check_error, PV_ERROR, PV_ERROR_CORRUPT);
      frame->data[bit / 8] ^= (guint8) (1u << (bit % 8));
    }
  g_assert_true (decodes (frame->data, frame->len, NULL));
}

static void
test_every_length (void)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GByteArray) plain = make_plain (1, FALSE);
  g_autoptr(GByteArray) frame = encode (codec, PV_FRAME_KIND_CHUNKS, 1, plain->data, plain->len);

  for (guint size = 0; size <= frame->len + 3; size++)
    {
      g_autoptr(GError) error = NULL;
      /* Exactly as many bytes as are said to be there, so that a sanitizer sees any read beyond. */
      g_autofree guint8 *data = g_malloc0 (size);

      if (data != NULL)
        memcpy (data, frame->data, MIN (size, frame->len));
      g_assert_cmpint (decodes (data, size, &error), ==, size == frame->len);
      if (size != frame->len)
        g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

/* Changes one header field to @value and makes the checksum right again: only the meaning is wrong. */
static void
assert_header_refused (guint offset, guint n_bytes, guint32 value, int code)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GByteArray) plain = make_plain (2, FALSE);
  g_autoptr(GByteArray) frame = encode (codec, PV_FRAME_KIND_CHUNKS, 2, plain->data, plain->len);
  g_autoptr(GError) error = NULL;
  guint32 wire = GUINT32_TO_LE (value);
  guint64 checksum;

  memcpy (frame->data + offset, &wire, n_bytes);
  checksum = GUINT64_TO_LE (pv_checksum (frame->data + 16, frame->len - 16));
  memcpy (frame->data + 8, &checksum, sizeof checksum);
  g_assert_false (decodes (frame->data, frame->len, &error));
  g_assert_error (error, PV_ERROR, code);
}

static void
test_hostile_headers (void)
{
  assert_header_refused (16, 1, 0, PV_ERROR_UNSUPPORTED);
  assert_header_refused (16, 1, 3, PV_ERROR_UNSUPPORTED);
  assert_header_refused (17, 1, 2, PV_ERROR_UNSUPPORTED);
  assert_header_refused (17, 1, 0, PV_ERROR_CORRUPT); /* raw, but shorter than its plain size */
  assert_header_refused (18, 1, 1, PV_ERROR_DENIED);
  assert_header_refused (18, 1, 2, PV_ERROR_UNSUPPORTED);
  assert_header_refused (19, 1, 0x80, PV_ERROR_UNSUPPORTED);
  assert_header_refused (20, 2, 0, PV_ERROR_CORRUPT);
  assert_header_refused (20, 2, 3, PV_ERROR_CORRUPT);
  assert_header_refused (20, 2, PV_FRAME_CHUNKS + 1, PV_ERROR_CORRUPT);
  assert_header_refused (22, 2, 1, PV_ERROR_UNSUPPORTED);
  assert_header_refused (24, 4, 0, PV_ERROR_CORRUPT);
  assert_header_refused (24, 4, PV_CHUNK_SIZE, PV_ERROR_CORRUPT);
  assert_header_refused (24, 4, G_MAXUINT32, PV_ERROR_CORRUPT);
  assert_header_refused (28, 4, 0, PV_ERROR_CORRUPT);
  assert_header_refused (28, 4, 5, PV_ERROR_CORRUPT);
  assert_header_refused (28, 4, G_MAXUINT32, PV_ERROR_CORRUPT);
}

/* A payload that expands to more than the header says, and one that expands to less. */
static void
test_bomb (void)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GByteArray) plain = make_plain (PV_FRAME_CHUNKS, FALSE);
  g_autoptr(GByteArray) big = encode (codec, PV_FRAME_KIND_CHUNKS, PV_FRAME_CHUNKS, plain->data, plain->len);

  for (guint n_slots = 1; n_slots <= PV_FRAME_CHUNKS; n_slots += 30)
    {
      g_autoptr(GError) error = NULL;
      guint32 plain_size = GUINT32_TO_LE (n_slots * PV_CHUNK_SIZE);
      guint16 slots = GUINT16_TO_LE ((guint16) n_slots);
      guint64 checksum;

      memcpy (big->data + 20, &slots, sizeof slots);
      memcpy (big->data + 24, &plain_size, sizeof plain_size);
      checksum = GUINT64_TO_LE (pv_checksum (big->data + 16, big->len - 16));
      memcpy (big->data + 8, &checksum, sizeof checksum);
      g_assert_false (decodes (big->data, big->len, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

/* The caller's room is respected even when the frame is fine. */
static void
test_room (void)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GByteArray) plain = make_plain (2, TRUE);
  g_autoptr(GByteArray) frame = encode (codec, PV_FRAME_KIND_CHUNKS, 2, plain->data, plain->len);
  g_autofree guint8 *room = g_malloc (PV_CHUNK_SIZE);
  g_autoptr(GError) error = NULL;
  PvFrameInfo info;

  g_assert_false (pv_frame_decode (codec, frame->data, frame->len, &info, room, PV_CHUNK_SIZE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

/* --- encrypted ---------------------------------------------------------------------------------------------------- */

static gboolean
decrypts (const PvSeal *seal, const guint8 *data, gsize size, const GByteArray *plain, GError **error)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *found = g_malloc (PV_FRAME_PLAIN_MAX);
  PvFrameInfo info;

  if (!pv_frame_decrypt (codec, seal, data, size, &info, found, PV_FRAME_PLAIN_MAX, error))
    return FALSE;
  g_assert_cmpmem (plain->data, plain->len, found, info.plain_size);
  return TRUE;
}

static void
test_encrypted (void)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (NULL);
  const guint8 salt[PV_SALT_SIZE] = { 1 };
  const PvSeal seal = { key, PV_SEAL_PACK, salt, 5 };

  for (guint random = 0; random < 2; random++)
    {
      g_autoptr(GByteArray) plain = make_plain (PV_FRAME_CHUNKS, random);
      g_autoptr(GByteArray) frame = encode (codec, PV_FRAME_KIND_CHUNKS, PV_FRAME_CHUNKS, plain->data, plain->len);
      g_autoptr(GByteArray) out = g_byte_array_new ();
      g_autoptr(GError) error = NULL, no_key = NULL, not_sealed = NULL;
      PvSeal elsewhere = seal;
      PvFrameInfo info;

      g_byte_array_append (out, (const guint8 *) "before", 6);
      g_assert_true (pv_frame_encrypt (&seal, frame->data, frame->len, out, &error));
      g_assert_no_error (error);
      g_byte_array_remove_range (out, 0, 6);
      g_assert_true (pv_frame_check (out->data, out->len, &info, NULL)); /* without the key */
      g_assert_cmpuint (info.stored_size, ==, frame->len + PV_SEAL_TAG_SIZE);
      g_assert_cmpuint (info.plain_size, ==, plain->len);
      g_assert_true (decrypts (&seal, out->data, out->len, plain, &error));
      g_assert_false (decrypts (NULL, out->data, out->len, plain, &no_key));
      g_assert_error (no_key, PV_ERROR, PV_ERROR_DENIED);
      g_assert_false (decrypts (&seal, frame->data, frame->len, plain, &not_sealed));
      g_assert_error (not_sealed, PV_ERROR, PV_ERROR_CORRUPT);
      elsewhere.number++; /* the same pack, another place */
      g_assert_false (decrypts (&elsewhere, out->data, out->len, plain, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

/* Whoever tampers can make the checksum right again: the tag is what tells. */
static void
test_encrypted_tampered (void)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (NULL);
  const guint8 salt[PV_SALT_SIZE] = { 1 };
  const PvSeal seal = { key, PV_SEAL_PACK, salt, 0 };
  g_autoptr(GByteArray) plain = make_plain (1, FALSE);
  g_autoptr(GByteArray) frame = encode (codec, PV_FRAME_KIND_CHUNKS, 1, plain->data, plain->len);
  g_autoptr(GByteArray) out = g_byte_array_new ();

  g_assert_true (pv_frame_encrypt (&seal, frame->data, frame->len, out, NULL));
  for (guint bit = 16 * 8; bit < out->len * 8; bit++)
    {
      guint64 checksum;

      out->data[bit / 8] ^= (guint8) (1u << bit % 8);
      checksum = GUINT64_TO_LE (pv_checksum (out->data + 16, out->len - 16));
      memcpy (out->data + 8, &checksum, sizeof checksum);
      g_assert_false (decrypts (&seal, out->data, out->len, plain, NULL));
      out->data[bit / 8] ^= (guint8) (1u << bit % 8);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/frame/round-trip", test_round_trip);
  g_test_add_func ("/frame/incompressible", test_incompressible);
  g_test_add_func ("/frame/nodes-and-append", test_nodes_and_append);
  g_test_add_func ("/frame/golden-read", test_golden_read);
  g_test_add_func ("/frame/golden-write", test_golden_write);
  g_test_add_func ("/frame/every-flipped-bit", test_every_flipped_bit);
  g_test_add_func ("/frame/every-length", test_every_length);
  g_test_add_func ("/frame/hostile-headers", test_hostile_headers);
  g_test_add_func ("/frame/bomb", test_bomb);
  g_test_add_func ("/frame/room", test_room);
  g_test_add_func ("/frame/encrypted", test_encrypted);
  g_test_add_func ("/frame/encrypted/tampered", test_encrypted_tampered);
  return g_test_run ();
}
