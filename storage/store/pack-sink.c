/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/pack-sink.h"

#include "pack/pack-writer.h"
#include "store/workers.h"
#include "util/error.h"

enum
{
  SEALING_MAX = 2, /* packs waiting to be sealed */
};

/* A pack under way. */
typedef struct
{
  PvPackWriter *writer; /* (owned) */
  char *path;           /* (owned) */
  GArray *entries;      /* (owned): of PvIndexEntry; the pack's number comes when it is sealed */
  guint64 counted;      /* bytes of it in PvPackSink.size */
} Pack;

struct _PvPackSink
{
  char *directory;
  PvStoreKey *key;       /* (nullable) */
  PvIndexWriter *index;
  PvClaimSet *claims;    /* (nullable) */
  PvWorkers *sealer;     /* one thread */
  GMutex lock;
  GCond sealed_one;      /* n_sealing went down, or error was set */
  Pack *pack;            /* (nullable) (owned): appended to; under lock */
  guint n_packs;         /* begun; under lock */
  guint n_sealing;       /* under lock */
  guint64 size;          /* bytes; under lock */
  GArray *packs;         /* of PvSealedPack; under lock */
  GError *error;         /* the first; under lock */
};

static void
pack_free (Pack *pack)
{
  if (pack == NULL)
    return;
  pv_pack_writer_free (pack->writer);
  g_array_unref (pack->entries);
  g_free (pack->path);
  g_free (pack);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Pack, pack_free)

static void
clear_sealed (gpointer data)
{
  g_free (((PvSealedPack *) data)->path);
}

/* The objects of a sealed pack go to the index writer; from then on it answers for them. */
static gboolean
give_to_index (PvPackSink *self, Pack *pack, const PvName *name, guint64 size, GError **error)
{
  guint32 number;

  if (!pv_index_writer_add_pack (self->index, name, size, pack->entries->len, &number, error))
    return FALSE;
  for (guint i = 0; i < pack->entries->len; i++)
    g_array_index (pack->entries, PvIndexEntry, i).location.pack = number;
  if (!pv_index_writer_add (self->index, (const PvIndexEntry *) pack->entries->data, pack->entries->len, error))
    return FALSE;
  for (guint i = 0; self->claims != NULL && i < pack->entries->len; i++)
    pv_claim_set_release (self->claims, &g_array_index (pack->entries, PvIndexEntry, i).name);
  return TRUE;
}

static void
seal (gpointer data, gpointer user_data)
{
  PvPackSink *self = user_data;
  g_autoptr(Pack) pack = data;
  g_autoptr(GError) error = NULL;
  PvSealedPack sealed = { .path = NULL };
  guint64 size = 0;
  gboolean ok = pv_pack_writer_seal (pack->writer, &sealed.name, &size, &error)
                && give_to_index (self, pack, &sealed.name, size, &error);

  g_mutex_lock (&self->lock);
  if (ok)
    {
      sealed.path = g_steal_pointer (&pack->path);
      g_array_append_val (self->packs, sealed);
      self->size += size - pack->counted;
    }
  else if (self->error == NULL)
    self->error = g_steal_pointer (&error);
  self->n_sealing--;
  g_cond_broadcast (&self->sealed_one);
  g_mutex_unlock (&self->lock);
}

PvPackSink *
pv_pack_sink_new (const char *directory, PvStoreKey *key, PvIndexWriter *writer, PvClaimSet *claims, GError **error)
{
  g_autoptr(PvPackSink) self = g_new0 (PvPackSink, 1);

  self->directory = g_strdup (directory);
  self->key = key;
  self->index = writer;
  self->claims = claims;
  g_mutex_init (&self->lock);
  g_cond_init (&self->sealed_one);
  self->packs = g_array_new (FALSE, TRUE, sizeof (PvSealedPack));
  g_array_set_clear_func (self->packs, clear_sealed);
  self->sealer = pv_workers_new ("seal", 1, seal, self, error);
  return self->sealer != NULL ? g_steal_pointer (&self) : NULL;
}

void
pv_pack_sink_free (PvPackSink *self)
{
  if (self == NULL)
    return;
  pv_workers_free (self->sealer);
  pack_free (self->pack);
  g_array_unref (self->packs);
  g_clear_error (&self->error);
  g_cond_clear (&self->sealed_one);
  g_mutex_clear (&self->lock);
  g_free (self->directory);
  g_free (self);
}

/* Under lock. */
static gboolean
check_error (PvPackSink *self, GError **error)
{
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_error_copy (self->error));
  return FALSE;
}

/* Under lock: keeps the first error. Always FALSE. */
static gboolean
fail (PvPackSink *self, GError *why, GError **error)
{
  if (self->error == NULL)
    self->error = g_error_copy (why);
  g_cond_broadcast (&self->sealed_one);
  g_propagate_error (error, why);
  return FALSE;
}

/* Under lock: the pack is complete. */
static void
hand_over (PvPackSink *self)
{
  self->n_sealing++;
  pv_workers_push (self->sealer, g_steal_pointer (&self->pack));
}

static Pack *
begin_pack (PvPackSink *self, GError **error)
{
  g_autoptr(Pack) pack = g_new0 (Pack, 1);

  pack->path = g_strdup_printf ("%s/pack-%u", self->directory, self->n_packs++);
  pack->entries = g_array_new (FALSE, FALSE, sizeof (PvIndexEntry));
  pack->writer = pv_pack_writer_new_encrypted (pack->path, self->key, error);
  return pack->writer != NULL ? g_steal_pointer (&pack) : NULL;
}

gboolean
pv_pack_sink_append (PvPackSink *self, const guint8 *frame, gsize frame_size, const PvName *names,
                     const guint32 *sizes, guint n_slots, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GError *why = NULL;
  PvIndexEntry entry = { .location = { .pack = 0 } };
  guint64 size;

  while (self->n_sealing >= SEALING_MAX && self->error == NULL)
    g_cond_wait (&self->sealed_one, &self->lock);
  if (!check_error (self, error))
    return FALSE;
  if (self->pack == NULL && (self->pack = begin_pack (self, &why)) == NULL)
    return fail (self, why, error);
  if (!pv_pack_writer_append (self->pack->writer, frame, frame_size, names, sizes, n_slots, &entry.location.frame,
                              &why))
    return fail (self, why, error);
  for (guint i = 0; i < n_slots; i++)
    {
      entry.name = names[i];
      entry.location.slot = i;
      g_array_append_val (self->pack->entries, entry);
    }
  size = pv_pack_writer_size (self->pack->writer);
  self->size += size - self->pack->counted;
  self->pack->counted = size;
  if (size >= PV_PACK_TARGET || self->pack->entries->len >= PV_PACK_OBJECTS_TARGET)
    hand_over (self);
  return TRUE;
}

gboolean
pv_pack_sink_finish (PvPackSink *self, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (!check_error (self, error))
    return FALSE;
  if (self->pack != NULL)
    hand_over (self);
  while (self->n_sealing > 0)
    g_cond_wait (&self->sealed_one, &self->lock);
  return check_error (self, error);
}

guint64
pv_pack_sink_size (PvPackSink *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->size;
}

GArray *
pv_pack_sink_packs (PvPackSink *self)
{
  return self->packs;
}
