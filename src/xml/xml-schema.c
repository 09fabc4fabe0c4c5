/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/xml-schema.h"

#include <gio/gio.h>
#include <libxml/relaxng.h>

#include "pv-schemas.h"
#include "util/error.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlRelaxNG, xmlRelaxNGFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlRelaxNGParserCtxt, xmlRelaxNGFreeParserCtxt)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlRelaxNGValidCtxt, xmlRelaxNGFreeValidCtxt)

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
  gconstpointer data;
  gsize size;

  g_assert (bytes != NULL);
  data = g_bytes_get_data (bytes, &size);
  parser = xmlRelaxNGNewMemParserCtxt (data, (int) size);
  return xmlRelaxNGParse (parser);
}

gboolean
pv_xml_validate (xmlDoc *document, const char *name, GError **error)
{
  g_autoptr(xmlRelaxNG) schema = read_schema (name);
  g_autoptr(xmlRelaxNGValidCtxt) validation = NULL;
  g_autoptr(GString) first = g_string_new (NULL);

  g_assert (schema != NULL);
  validation = xmlRelaxNGNewValidCtxt (schema);
  xmlRelaxNGSetValidErrors (validation, on_complaint, on_complaint, first);
  if (xmlRelaxNGValidateDoc (validation, document) == 0)
    return TRUE;
  g_strdelimit (g_strchomp (first->str), "\n", ' ');
  return pv_throw (error, PV_ERROR_INVALID, "%s", *first->str != '\0' ? first->str : "it does not match the schema");
}
