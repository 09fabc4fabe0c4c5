/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvStoreXml: the configuration of the store: where it is, what opens it, where it is served to libvirt.
 *
 * A file that nobody needs: what it does not say has its default. docs/configuration.md tells what it means,
 * schemas/store.rng how it is written.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_STORE_CONFIG "/etc/pagevault/store.xml"

typedef struct
{
  char *path;            /* (owned) (nullable): the store; a whole path, as all of these */
  char *passphrase_file; /* (owned) (nullable): with what is in it the store is opened */
  char *secret_uuid;     /* (owned) (nullable): likewise, with libvirt's secret; not both */
  char *pool;            /* (owned) (nullable): where pagevaultd serves it */
  char *disks;           /* (owned) (nullable): where disks of restored guests go */
} PvStoreXml;

/* PV_ERROR_INVALID with the line number. */
PvStoreXml *pv_store_xml_parse (const char *xml, GError **error);
/* (transfer full): what PAGEVAULT_CONFIG names, or PV_STORE_CONFIG, says; all NULL when there is no such file. Errors
 * name the file. */
PvStoreXml *pv_store_xml_read (GError **error);
void pv_store_xml_free (PvStoreXml *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvStoreXml, pv_store_xml_free)

G_END_DECLS
