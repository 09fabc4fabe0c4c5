/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/xml-node.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlsave.h>
#include <stdarg.h>
#include <string.h>

#include "util/error.h"

/* A document type declaration is the only way to declare entities: libvirt writes none, so none is read. */
static void
refuse_document_type (void *context, const xmlChar *name, const xmlChar *external_id, const xmlChar *system_id)
{
  xmlParserCtxt *parser = context;
  gboolean *refused = parser->_private;

  *refused = TRUE;
  xmlStopParser (parser);
}

static void
throw_parse_error (xmlParserCtxt *parser, const char *what, gboolean has_document_type, GError **error)
{
  const xmlError *last = xmlCtxtGetLastError (parser);
  g_autofree char *message = NULL;

  if (has_document_type)
    {
      pv_throw (error, PV_ERROR_INVALID, "not a %s: line %d: it has a document type declaration, which is never read",
                what, parser->input != NULL ? parser->input->line : 1);
      return;
    }
  message = g_strdup (last != NULL && last->message != NULL ? last->message : "empty document");
  pv_throw (error, PV_ERROR_INVALID, "not a %s: line %d: %s", what, last != NULL ? last->line : 1,
            g_strdelimit (g_strstrip (message), "\n", ' '));
}

/* Elements in the namespace @uri become elements without one. Children first in line, none is forgotten: no recursion,
 * whatever the depth. */
static void
strip_namespace (xmlNode *root, const char *uri)
{
  xmlNode *node = root;

  while (node != NULL)
    {
      if (node->type == XML_ELEMENT_NODE && node->ns != NULL && strcmp ((const char *) node->ns->href, uri) == 0)
        xmlSetNs (node, NULL);
      if (node->type == XML_ELEMENT_NODE && node->children != NULL)
        {
          node = node->children;
          continue;
        }
      while (node != root && node->next == NULL)
        node = node->parent;
      node = node != root ? node->next : NULL;
    }
}

xmlDoc *
pv_xml_parse (const char *text, const char *root, const char *what, GError **error)
{
  return pv_xml_parse_in (text, root, NULL, what, error);
}

xmlDoc *
pv_xml_parse_in (const char *text, const char *root, const char *uri, const char *what, GError **error)
{
  gsize size = strlen (text);
  gboolean has_document_type = FALSE;
  g_autoptr(xmlDoc) document = NULL;
  xmlParserCtxt *parser;
  xmlNode *element;

  if (size > PV_XML_MAX_SIZE)
    {
      pv_throw (error, PV_ERROR_INVALID, "not a %s: %" G_GSIZE_FORMAT " bytes, more than the %u that one can have",
                what, size, PV_XML_MAX_SIZE);
      return NULL;
    }
  xmlInitParser ();
  parser = xmlNewParserCtxt ();
  if (parser == NULL)
    g_error ("out of memory");
  parser->_private = &has_document_type;
  parser->sax->internalSubset = refuse_document_type;
  document = xmlCtxtReadMemory (parser, text, (int) size, NULL, NULL,
                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_BIG_LINES);
  if (document == NULL || has_document_type)
    {
      throw_parse_error (parser, what, has_document_type, error);
      xmlFreeParserCtxt (parser);
      return NULL;
    }
  xmlFreeParserCtxt (parser);
  element = xmlDocGetRootElement (document);
  if (element != NULL && uri != NULL)
    strip_namespace (element, uri);
  if (element == NULL || element->ns != NULL || strcmp ((const char *) element->name, root) != 0)
    {
      pv_throw (error, PV_ERROR_INVALID, "not a %s: line %ld: the outermost element must be <%s>", what,
                element != NULL ? xmlGetLineNo (element) : 1L, root);
      return NULL;
    }
  pv_xml_use_utf8 (document);
  return g_steal_pointer (&document);
}

void
pv_xml_use_utf8 (xmlDoc *document)
{
  if (document->encoding != NULL)
    xmlFree ((xmlChar *) document->encoding);
  document->encoding = xmlStrdup (BAD_CAST "UTF-8");
}

char *
pv_xml_print (xmlNode *node)
{
  xmlBuffer *buffer = xmlBufferCreate ();
  xmlSaveCtxt *save = xmlSaveToBuffer (buffer, "UTF-8", XML_SAVE_NO_DECL | XML_SAVE_AS_XML);
  char *text;

  xmlSaveTree (save, node);
  xmlSaveClose (save);
  text = g_strconcat ((const char *) xmlBufferContent (buffer), "\n", NULL);
  xmlBufferFree (buffer);
  return text;
}

static xmlNode *
first_named (xmlNode *node, const char *name)
{
  for (; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && node->ns == NULL && strcmp ((const char *) node->name, name) == 0)
      return node;
  return NULL;
}

xmlNode *
pv_xml_child (xmlNode *parent, const char *name)
{
  return parent != NULL ? first_named (parent->children, name) : NULL;
}

xmlNode *
pv_xml_next (xmlNode *node)
{
  return first_named (node->next, (const char *) node->name);
}

xmlNode *
pv_xml_descend (xmlNode *node, ...)
{
  const char *name;
  va_list names;

  va_start (names, node);
  while (node != NULL && (name = va_arg (names, const char *)) != NULL)
    node = pv_xml_child (node, name);
  va_end (names);
  return node;
}

char *
pv_xml_attr (xmlNode *node, const char *name)
{
  xmlChar *value = node != NULL ? xmlGetNoNsProp (node, BAD_CAST name) : NULL;
  char *copy = g_strdup ((const char *) value);

  if (value != NULL)
    xmlFree (value);
  return copy;
}

char *
pv_xml_text (xmlNode *node)
{
  xmlChar *value = node != NULL ? xmlNodeGetContent (node) : NULL;
  g_autofree char *copy = g_strdup ((const char *) value);

  if (value != NULL)
    xmlFree (value);
  if (copy == NULL || *g_strstrip (copy) == '\0')
    return NULL;
  return g_steal_pointer (&copy);
}

gboolean
pv_xml_attr_is (xmlNode *node, const char *name, const char *value)
{
  g_autofree char *found = pv_xml_attr (node, name);

  return g_strcmp0 (found, value) == 0;
}

void
pv_xml_set_attr (xmlNode *node, const char *name, const char *value)
{
  xmlSetProp (node, BAD_CAST name, BAD_CAST value);
}

void
pv_xml_set_text (xmlNode *node, const char *text)
{
  xmlNodeSetContent (node, NULL);
  xmlNodeAddContent (node, BAD_CAST text);
}

xmlNode *
pv_xml_add (xmlNode *parent, const char *name, const char *text)
{
  xmlNode *node = xmlNewChild (parent, NULL, BAD_CAST name, NULL);

  if (text != NULL)
    xmlNodeAddContent (node, BAD_CAST text);
  return node;
}

void
pv_xml_remove (xmlNode *node)
{
  xmlNode *before;

  if (node == NULL)
    return;
  before = node->prev;
  if (before != NULL && xmlIsBlankNode (before))
    {
      xmlUnlinkNode (before);
      xmlFreeNode (before);
    }
  xmlUnlinkNode (node);
  xmlFreeNode (node);
}

void
pv_xml_remove_children (xmlNode *parent, const char *name)
{
  xmlNode *node;

  while ((node = pv_xml_child (parent, name)) != NULL)
    pv_xml_remove (node);
}
