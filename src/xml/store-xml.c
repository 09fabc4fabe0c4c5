/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/store-xml.h"

#include <string.h>

#include "util/error.h"
#include "util/file.h"
#include "xml/xml-node.h"
#include "xml/xml-schema.h"

#define FILE_MAX (1u << 20) /* bytes */

void
pv_store_xml_free (PvStoreXml *self)
{
  if (self == NULL)
    return;
  g_free (self->path);
  g_free (self->passphrase_file);
  g_free (self->secret_uuid);
  g_free (self->pool);
  g_free (self->disks);
  g_free (self);
}

/* Takes @value over. */
static gboolean
take_path (char **to, xmlNode *node, char *value, GError **error)
{
  const char *name = (const char *) node->name;

  g_free (*to);
  *to = value;
  if (value == NULL)
    return pv_throw (error, PV_ERROR_INVALID, "line %ld: %s is empty", xmlGetLineNo (node), name);
  return g_path_is_absolute (value)
         || pv_throw (error, PV_ERROR_INVALID, "line %ld: %s: '%s' must be given with its whole path",
                      xmlGetLineNo (node), name, value);
}

static gboolean
read_key (PvStoreXml *self, xmlNode *node, GError **error)
{
  g_autofree char *file = pv_xml_attr (node, "passphrase-file");

  self->secret_uuid = pv_xml_attr (node, "secret");
  if ((file != NULL) == (self->secret_uuid != NULL))
    return pv_throw (error, PV_ERROR_INVALID, "line %ld: key: say either passphrase-file='FILE' or secret='UUID'",
                     xmlGetLineNo (node));
  if (self->secret_uuid != NULL)
    return g_uuid_string_is_valid (self->secret_uuid)
           || pv_throw (error, PV_ERROR_INVALID, "line %ld: key: '%s' is not a UUID", xmlGetLineNo (node),
                        self->secret_uuid);
  return take_path (&self->passphrase_file, node, g_steal_pointer (&file), error);
}

static gboolean
read_element (PvStoreXml *self, xmlNode *node, GError **error)
{
  const struct
  {
    const char *name;
    char **to;
  } paths[] = { { "path", &self->path }, { "pool", &self->pool }, { "disks", &self->disks } };
  const char *name = (const char *) node->name;

  if (node->ns == NULL && pv_xml_child (node->parent, name) != node)
    return pv_throw (error, PV_ERROR_INVALID, "line %ld: %s is there twice", xmlGetLineNo (node), name);
  if (node->ns == NULL && strcmp (name, "key") == 0)
    return read_key (self, node, error);
  for (guint i = 0; node->ns == NULL && i < G_N_ELEMENTS (paths); i++)
    if (strcmp (name, paths[i].name) == 0)
      return take_path (paths[i].to, node, pv_xml_text (node), error);
  return pv_throw (error, PV_ERROR_INVALID, "line %ld: there is no such element: %s", xmlGetLineNo (node), name);
}

PvStoreXml *
pv_store_xml_parse (const char *xml, GError **error)
{
  g_autoptr(xmlDoc) document = pv_xml_parse (xml, "store", "store configuration", error);
  g_autoptr(PvStoreXml) self = NULL;

  if (document == NULL)
    return NULL;
  self = g_new0 (PvStoreXml, 1);
  for (xmlNode *node = xmlDocGetRootElement (document)->children; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && !read_element (self, node, error))
      return NULL;
  return pv_xml_validate (document, "store.rng", error) ? g_steal_pointer (&self) : NULL;
}

PvStoreXml *
pv_store_xml_read (GError **error)
{
  const char *told = g_getenv ("PAGEVAULT_CONFIG");
  const char *path = told != NULL && *told != '\0' ? told : PV_STORE_CONFIG;
  g_autoptr(GError) local = NULL;
  g_autoptr(GBytes) bytes = pv_read_file (path, FILE_MAX, &local);
  g_autofree char *text = NULL;
  PvStoreXml *self;

  if (bytes == NULL && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return g_new0 (PvStoreXml, 1);
  if (bytes == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  self = pv_store_xml_parse (text, error);
  if (self == NULL)
    g_prefix_error (error, "%s: ", path);
  return self;
}
