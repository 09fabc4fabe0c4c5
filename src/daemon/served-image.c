/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/served-image.h"

#include <string.h>

#include "util/error.h"
#include "virt/attachments.h"
#include "xml/domain-xml.h"
#include "xml/restore-path.h"

#define VIEWS_MAX 8 /* kept; each takes a bit for each page of its guest */

struct _PvServedImages
{
  PvStore *store;    /* (owned) */
  GMutex lock;       /* held while a view is made, so that it is made once */
  GHashTable *sizes; /* (owned): id -> guint64, under lock */
  GHashTable *views; /* (owned): id -> PvMemoryView, under lock */
  GQueue order;      /* of ids in views (owned by these), the one used last at the head; under lock */
};

PvServedImages *
pv_served_images_new (PvStore *store)
{
  PvServedImages *self = g_new0 (PvServedImages, 1);

  self->store = pv_store_ref (store);
  g_mutex_init (&self->lock);
  g_queue_init (&self->order);
  self->sizes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->views = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) pv_memory_view_unref);
  return self;
}

void
pv_served_images_free (PvServedImages *self)
{
  g_queue_clear (&self->order);
  g_hash_table_unref (self->views);
  g_hash_table_unref (self->sizes);
  g_mutex_clear (&self->lock);
  pv_store_unref (self->store);
  g_free (self);
}

gboolean
pv_served_images_can (PvSnapshot *snapshot)
{
  return pv_snapshot_attachment (snapshot, PV_ATTACH_DOMAIN_XML) != NULL
         && pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_DEVICES) != NULL
         && pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM) > 0;
}

/* --- the description --------------------------------------------------------------------------------------------- */

/* What is never written may stay where it is. */
static gboolean
lead_nowhere (PvDomainXml *xml, PvSnapshot *snapshot, const char *id, GError **error)
{
  g_autoptr(PvDomainXml) plan = pv_domain_xml_copy (xml); /* the one that is changed drops its list */
  GPtrArray *disks = pv_domain_xml_disks (plan);

  for (guint i = 0; i < disks->len; i++)
    {
      const PvDomainDisk *disk = disks->pdata[i];
      gboolean taken = pv_snapshot_find_volume (snapshot, PV_VOLUME_DISK, disk->target) != NULL;
      gboolean empty = disk->kind != PV_DISK_OTHER && disk->path == NULL;
      g_autofree char *path = pv_restore_path_make (id, pv_snapshot_full_name (snapshot), disk->target);

      if (!taken && (empty || disk->readonly || disk->shareable))
        continue;
      if (!pv_domain_xml_set_disk (xml, disk->target, path, "qcow2", error))
        return FALSE;
    }
  return TRUE;
}

char *
pv_served_image_xml (PvSnapshot *snapshot, GError **error)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, PV_ATTACH_DOMAIN_XML);
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (snapshot));
  g_autofree char *text = NULL;
  g_autofree char *nvram = NULL;
  g_autoptr(PvDomainXml) xml = NULL;

  if (bytes == NULL)
    {
      pv_throw (error, PV_ERROR_UNSUPPORTED, "the snapshot has no domain XML: it came from a bare QEMU stream");
      return NULL;
    }
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  xml = pv_domain_xml_parse (text, error);
  if (xml == NULL || !lead_nowhere (xml, snapshot, id, error))
    return NULL;
  nvram = pv_restore_path_make (id, pv_snapshot_full_name (snapshot), PV_BLOB_NVRAM);
  if (pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_NVRAM) != NULL
      && pv_domain_xml_nvram (xml) != NULL && !pv_domain_xml_set_nvram (xml, nvram, error))
    return NULL;
  return pv_domain_xml_to_string (xml);
}

/* --- views ------------------------------------------------------------------------------------------------------- */

static void
forget_oldest (PvServedImages *self)
{
  while (g_hash_table_size (self->views) > VIEWS_MAX)
    g_hash_table_remove (self->views, g_queue_pop_tail (&self->order));
}

/* Under lock. */
static PvMemoryView *
make_view (PvServedImages *self, PvSnapshot *snapshot, const char *id, GError **error)
{
  g_autoptr(PvStorePin) pin = pv_store_pin (self->store, snapshot, error);
  g_autofree char *xml = pin != NULL ? pv_served_image_xml (snapshot, error) : NULL;
  PvMemoryView *view = xml != NULL ? pv_memory_view_new (self->store, snapshot, xml, error) : NULL;
  char *key = g_strdup (id);
  guint64 size;

  if (view == NULL)
    {
      g_free (key);
      return NULL;
    }
  size = pv_memory_view_size (view);
  g_hash_table_insert (self->sizes, g_strdup (id), g_memdup2 (&size, sizeof size));
  g_hash_table_insert (self->views, key, view);
  g_queue_push_head (&self->order, key);
  forget_oldest (self);
  return view;
}

PvMemoryView *
pv_served_images_view (PvServedImages *self, PvSnapshot *snapshot, GError **error)
{
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (snapshot));
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  PvMemoryView *view = NULL;
  gpointer key;

  if (g_hash_table_lookup_extended (self->views, id, &key, (gpointer *) &view))
    {
      g_queue_remove (&self->order, key);
      g_queue_push_head (&self->order, key);
    }
  else
    view = make_view (self, snapshot, id, error);
  return view != NULL ? pv_memory_view_ref (view) : NULL;
}

gboolean
pv_served_images_size (PvServedImages *self, PvSnapshot *snapshot, guint64 *size, GError **error)
{
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (snapshot));
  g_autoptr(PvMemoryView) view = NULL;
  const guint64 *known;

  g_mutex_lock (&self->lock);
  known = g_hash_table_lookup (self->sizes, id);
  if (known != NULL)
    *size = *known;
  g_mutex_unlock (&self->lock);
  if (known != NULL)
    return TRUE;
  view = pv_served_images_view (self, snapshot, error);
  if (view != NULL)
    *size = pv_memory_view_size (view);
  return view != NULL;
}
