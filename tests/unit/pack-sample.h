/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small pack for the tests of pack readers. */
#pragma once

#include <string.h>

#include "chunk/node.h"
#include "pack/pack-reader.h"
#include "pack/pack-table-builder.h"
#include "util/error.h"

/* A small pack in memory: two chunks; then a full leaf of three entries and a delta of it. */
typedef struct
{
  GByteArray *bytes; /* (owned) */
  PvName name;
  guint8 chunks[2 * PV_CHUNK_SIZE];
  PvName chunk_names[2];
  PvNode base, node;
  PvName node_names[2];
} PackSample;

static inline void
pack_sample_free (PackSample *self)
{
  g_byte_array_unref (self->bytes);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PackSample, pack_sample_free)

static inline void
add_frame (PackSample *self, PvPackTableBuilder *table, PvFrameKind kind, const GByteArray *plain, const PvName *names,
           const guint32 *sizes)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GError) error = NULL;
  guint start = self->bytes->len;
  PvFrameInfo info;

  g_assert_true (pv_frame_encode (codec, kind, 2, plain->data, plain->len, self->bytes, &error));
  g_assert_true (pv_frame_info (self->bytes->data + start, self->bytes->len - start, &info, &error));
  g_assert_true (pv_pack_table_builder_add (table, &info, names, sizes, &error));
  g_assert_no_error (error);
}

static inline void
add_chunks (PackSample *self, PvPackTableBuilder *table, PvNamer *namer)
{
  g_autoptr(GByteArray) plain = g_byte_array_new ();

  for (gsize i = 0; i < sizeof self->chunks; i++)
    self->chunks[i] = (guint8) "page"[i % (i < PV_CHUNK_SIZE ? 4 : 3)];
  for (guint i = 0; i < 2; i++)
    pv_namer_chunk (namer, self->chunks + i * PV_CHUNK_SIZE, &self->chunk_names[i]);
  g_byte_array_append (plain, self->chunks, sizeof self->chunks);
  add_frame (self, table, PV_FRAME_KIND_CHUNKS, plain, self->chunk_names, NULL);
}

static inline void
add_nodes (PackSample *self, PvPackTableBuilder *table, PvNamer *namer)
{
  g_autoptr(GByteArray) plain = g_byte_array_new ();
  guint32 sizes[2];

  self->base.n_entries = 6;
  self->base.entries[0] = self->chunk_names[0];
  for (guint i = 2; i < 6; i++)
    self->base.entries[i] = self->chunk_names[1];
  self->node = self->base;
  self->node.entries[1] = self->chunk_names[0];
  pv_namer_node (namer, 0, self->base.entries, 6, &self->node_names[0]);
  pv_namer_node (namer, 0, self->node.entries, 6, &self->node_names[1]);
  pv_node_encode_full (&self->base, plain);
  sizes[0] = plain->len;
  g_assert_true (pv_node_encode_delta (&self->node, &self->base, &self->node_names[0], 1, plain));
  sizes[1] = plain->len - sizes[0];
  add_frame (self, table, PV_FRAME_KIND_NODES, plain, self->node_names, sizes);
}

static inline PackSample *
pack_sample_new (PvNamer *namer)
{
  g_autoptr(PvPackTableBuilder) table = pv_pack_table_builder_new ();
  PackSample *self = g_new0 (PackSample, 1);

  self->bytes = g_byte_array_new ();
  g_byte_array_append (self->bytes, pv_pack_header, PV_PACK_HEADER_SIZE);
  add_chunks (self, table, namer);
  add_nodes (self, table, namer);
  pv_pack_table_builder_finish (table, self->bytes, &self->name);
  return self;
}

/* Reads from a copy that is exactly as long as it is said to be, so that a sanitizer sees any read beyond. */
static inline PvPackReader *
pack_sample_open (const guint8 *data, gsize size, const PvName *name, GError **error)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);

  return pv_pack_reader_new_from_bytes (bytes, name, error);
}

static inline gboolean
pack_sample_base (const PvName *name, PvNode *node, gpointer data)
{
  const PackSample *sample = *(PackSample **) data;

  if (!pv_name_equal (name, &sample->node_names[0]))
    return FALSE;
  *node = sample->base;
  return TRUE;
}

typedef struct
{
  PackSample *sample; /* first: pack_sample_base finds it here */
  guint n_damaged;
  PvName last;
} Damage;

static inline void
pack_sample_count_damage (const PvName *object, guint32 frame, const char *why, gpointer data)
{
  Damage *damage = data;

  g_assert_cmpuint (strlen (why), >, 0);
  damage->n_damaged++;
  damage->last = *object;
}
