/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small helpers over libxml2's tree, for the files of this room only.
 *
 * Names mean elements and attributes without a namespace unless said otherwise: libvirt's own documents have none, and
 * what stands in <metadata> belongs to others. Strings handed out are GLib's (g_free).
 */
#pragma once

#include <glib.h>
#include <libxml/tree.h>

G_BEGIN_DECLS

#define PV_XML_MAX_SIZE (16u << 20) /* bytes */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

/* Parses @text, whose root must be called @root: no network, no DTD (so no entities), no huge documents.
 * PV_ERROR_INVALID with the line number; @what says what the document should be ("domain description"). */
xmlDoc *pv_xml_parse (const char *text, const char *root, const char *what, GError **error);
/* Likewise; elements in the namespace @uri (nullable) count as if they were in none. */
xmlDoc *pv_xml_parse_in (const char *text, const char *root, const char *uri, const char *what, GError **error);
/* Has @document printed in UTF-8, whatever it was read from: libxml2 would else write character references. */
void pv_xml_use_utf8 (xmlDoc *document);
/* (transfer full): @node and what is below it, without an XML declaration, ending in a newline. */
char *pv_xml_print (xmlNode *node);

/* The first child element @name of @parent (which may be NULL), and the next sibling of the same name; NULL when there
 * is none. */
xmlNode *pv_xml_child (xmlNode *parent, const char *name);
xmlNode *pv_xml_next (xmlNode *node);
/* Walks down child by child: pv_xml_descend (root, "os", "nvram", NULL). */
xmlNode *pv_xml_descend (xmlNode *node, ...) G_GNUC_NULL_TERMINATED;

/* (transfer full) (nullable). @node may be NULL. */
char *pv_xml_attr (xmlNode *node, const char *name);
/* (transfer full) (nullable): without white space around it; NULL when there is no node or nothing in it. */
char *pv_xml_text (xmlNode *node);
gboolean pv_xml_attr_is (xmlNode *node, const char *name, const char *value);

void pv_xml_set_attr (xmlNode *node, const char *name, const char *value);
/* Replaces all of @node's content by @text. */
void pv_xml_set_text (xmlNode *node, const char *text);
/* Adds an element at the end of @parent, @text (nullable) inside. */
xmlNode *pv_xml_add (xmlNode *parent, const char *name, const char *text);
/* Takes @node (which may be NULL) out of its document and frees it, with the white space in front of it. */
void pv_xml_remove (xmlNode *node);
void pv_xml_remove_children (xmlNode *parent, const char *name);

G_END_DECLS
