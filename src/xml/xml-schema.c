/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/xml-schema.h"

#include <gio/gio.h>
#include <libxml/relaxng.h>

#include "pv-schemas.h"
#include "util/error.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlRelaxNGParserCtxt, xmlRelaxNGFreeParserCtxt)

/* The first complaint that has a line; libxml2 goes on with what follows from it. */
static void
on_complaint (void *data, G_GNUC_UNUSED const char *format, ...)
{
  GString *first = data;
  const xmlError *last = xmlGetLastError ();

  if (first->len == 0 && last != NULL && last->message != NULL && last->line > 0)
    g_string_append_printf (first, "line %d: %s", last->line, last->message);
}

/* A schema is part of the program: one that cannot be read is our own mistake. */
static xmlRelaxNG *
read_schema (const char *name)
{
  g_autofree char *path = g_strconcat ("/pagevault/schemas/", name, NULL);
  g_autoptr(GBytes) bytes = g_resource_lookup_data (pv_schemas_get_resource (), path, 0, NULL);
  g_autoptr(xmlRelaxNGParserCtxt) parser = NULL;
  xmlRelaxNG *schema;
  gconstpointer data;
  gsize size;

  g_assert (bytes != NULL);
  data = g_bytes_get_data (bytes, &size);
  parser = xmlRelaxNGNewMemParserCtxt (data, (int) size);
  schema = xmlRelaxNGParse (parser);
  g_assert (schema != NULL);
  return schema;
}

/* Schemas that were needed so far, for as long as the program runs. libxml2 does not say that two threads may validate
 * by one schema at once: the lock is held meanwhile. */
G_LOCK_DEFINE_STATIC (schemas);
static GHashTable *schemas; /* (element-type utf8 xmlRelaxNG) */

/* Under the lock. */
static xmlRelaxNG *
find_schema (const char *name)
{
  xmlRelaxNG *schema;

  if (schemas == NULL)
    schemas = g_hash_table_new (g_str_hash, g_str_equal);
  schema = g_hash_table_lookup (schemas, name);
  if (schema == NULL)
    {
      schema = read_schema (name);
      g_hash_table_insert (schemas, g_strdup (name), schema);
    }
  return schema;
}

static gboolean
is_valid (xmlDoc *document, const char *name, GString *complaint)
{
  xmlRelaxNGValidCtxt *validation;
  gboolean valid;

  G_LOCK (schemas);
  validation = xmlRelaxNGNewValidCtxt (find_schema (name));
  xmlRelaxNGSetValidErrors (validation, on_complaint, on_complaint, complaint);
  valid = xmlRelaxNGValidateDoc (validation, document) == 0;
  xmlRelaxNGFreeValidCtxt (validation);
  G_UNLOCK (schemas);
  return valid;
}

gboolean
pv_xml_validate (xmlDoc *document, const char *name, GError **error)
{
  g_autoptr(GString) first = g_string_new (NULL);

  if (is_valid (document, name, first))
    return TRUE;
  g_strdelimit (g_strchomp (first->str), "\n", ' ');
  return pv_throw (error, PV_ERROR_INVALID, "%s", *first->str != '\0' ? first->str : "it does not match the schema");
}
