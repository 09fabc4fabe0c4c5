/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What users ask for: virsh's --diskspec, and their <domainsnapshot>. */
#include "config.h"

#include <string.h>

#include "util/error.h"
#include "xml/snapshot-xml.h"
#include "xml/xml-node.h"

#define WHAT "snapshot description"

void
pv_disk_spec_free (PvDiskSpec *self)
{
  if (self == NULL)
    return;
  g_free (self->target);
  g_free (self->file);
  g_free (self);
}

/* (transfer full) (element-type utf8): @text cut at its single commas; ",," is one comma of the text. */
static GPtrArray *
split_commas (const char *text)
{
  GPtrArray *parts = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GString) part = g_string_new (NULL);

  for (const char *at = text; *at != '\0'; at++)
    if (*at != ',')
      g_string_append_c (part, *at);
    else if (at[1] == ',')
      g_string_append_c (part, *at++);
    else
      {
        g_ptr_array_add (parts, g_strdup (part->str));
        g_string_truncate (part, 0);
      }
  g_ptr_array_add (parts, g_strdup (part->str));
  return parts;
}

/* What libvirt calls a snapshot of one disk, as far as pagevault makes it. */
static gboolean
read_snapshot_kind (const char *kind, gboolean *exclude, GError **error)
{
  *exclude = g_strcmp0 (kind, "no") == 0;
  if (kind == NULL || *exclude || strcmp (kind, "external") == 0)
    return TRUE;
  if (strcmp (kind, "internal") == 0 || strcmp (kind, "manual") == 0)
    return pv_throw (error, PV_ERROR_INVALID, "snapshot='%s' is not possible here: use external or no", kind);
  return pv_throw (error, PV_ERROR_INVALID, "snapshot='%s' is unknown: use external or no", kind);
}

static gboolean
check_overlay_kind (const char *type, const char *driver, GError **error)
{
  if (type != NULL && strcmp (type, "file") != 0)
    return pv_throw (error, PV_ERROR_INVALID, "an overlay of type '%s' is not possible here: use file", type);
  if (driver != NULL && strcmp (driver, "qcow2") != 0)
    return pv_throw (error, PV_ERROR_INVALID, "an overlay of format '%s' is not possible here: use qcow2", driver);
  return TRUE;
}

static gboolean
check_overlay_file (const PvDiskSpec *spec, GError **error)
{
  if (spec->file == NULL)
    return TRUE;
  if (spec->exclude)
    return pv_throw (error, PV_ERROR_INVALID, "a disk with snapshot='no' gets no overlay: leave its file out");
  if (!g_path_is_absolute (spec->file))
    return pv_throw (error, PV_ERROR_INVALID, "the overlay '%s' must be given with its whole path", spec->file);
  return TRUE;
}

static gboolean
read_spec_part (PvDiskSpec *spec, const char *part, GError **error)
{
  if (g_str_has_prefix (part, "snapshot="))
    return read_snapshot_kind (part + strlen ("snapshot="), &spec->exclude, error);
  if (g_str_has_prefix (part, "driver="))
    return check_overlay_kind (NULL, part + strlen ("driver="), error);
  if (g_str_has_prefix (part, "stype="))
    return check_overlay_kind (part + strlen ("stype="), NULL, error);
  if (g_str_has_prefix (part, "file=") && part[strlen ("file=")] != '\0')
    {
      g_free (spec->file);
      spec->file = g_strdup (part + strlen ("file="));
      return TRUE;
    }
  return pv_throw (error, PV_ERROR_INVALID,
                   "'%s' is unknown: use snapshot=no, snapshot=external, driver=qcow2 or file=PATH", part);
}

PvDiskSpec *
pv_disk_spec_parse (const char *text, GError **error)
{
  g_autoptr(GPtrArray) parts = split_commas (text);
  g_autoptr(PvDiskSpec) spec = g_new0 (PvDiskSpec, 1);

  spec->target = g_strdup (parts->pdata[0]);
  if (*spec->target == '\0' || strchr (spec->target, '=') != NULL)
    {
      pv_throw (error, PV_ERROR_INVALID, "diskspec '%s': it must begin with a disk's target, like vda", text);
      return NULL;
    }
  for (guint i = 1; i < parts->len; i++)
    if (!read_spec_part (spec, parts->pdata[i], error))
      {
        g_prefix_error (error, "diskspec '%s': ", text);
        return NULL;
      }
  if (!check_overlay_file (spec, error))
    {
      g_prefix_error (error, "diskspec '%s': ", text);
      return NULL;
    }
  return g_steal_pointer (&spec);
}

static gboolean
read_memory_spec (GPtrArray *parts, char **file, gboolean *exclude, GError **error)
{
  for (guint i = 0; i < parts->len; i++)
    {
      const char *part = parts->pdata[i];

      if (g_str_has_prefix (part, "snapshot="))
        {
          if (!read_snapshot_kind (part + strlen ("snapshot="), exclude, error))
            return FALSE;
        }
      else if (*file == NULL && *part != '\0')
        *file = g_strdup (g_str_has_prefix (part, "file=") ? part + strlen ("file=") : part);
      else
        return pv_throw (error, PV_ERROR_INVALID, "'%s' is unknown: use file=PATH, snapshot=no or snapshot=external",
                         part);
    }
  return TRUE;
}

gboolean
pv_memory_spec_parse (const char *text, char **file, GError **error)
{
  g_autoptr(GPtrArray) parts = split_commas (text);
  g_autofree char *path = NULL;
  gboolean exclude = FALSE;

  *file = NULL;
  if (!read_memory_spec (parts, &path, &exclude, error))
    {
      g_prefix_error (error, "memspec '%s': ", text);
      return FALSE;
    }
  if (exclude != (path == NULL))
    return pv_throw (error, PV_ERROR_INVALID, "memspec '%s': it is either a file or snapshot=no", text);
  if (path != NULL && !g_path_is_absolute (path))
    return pv_throw (error, PV_ERROR_INVALID, "memspec '%s': the file must be given with its whole path", text);
  *file = g_steal_pointer (&path);
  return TRUE;
}

void
pv_snapshot_request_free (PvSnapshotRequest *self)
{
  if (self == NULL)
    return;
  g_free (self->name);
  g_free (self->description);
  g_free (self->memory_file);
  g_clear_pointer (&self->disks, g_ptr_array_unref);
  g_free (self);
}

static gboolean
read_memory (PvSnapshotRequest *self, xmlNode *memory, GError **error)
{
  g_autofree char *kind = pv_xml_attr (memory, "snapshot");
  g_autofree char *file = pv_xml_attr (memory, "file");

  if (memory == NULL)
    return TRUE;
  if (file != NULL)
    return pv_throw (error, PV_ERROR_INVALID,
                     "line %ld: the memory goes into the store, not to '%s': leave the file out", xmlGetLineNo (memory),
                     file);
  if (!read_snapshot_kind (kind, &self->disk_only, error))
    {
      g_prefix_error (error, "line %ld: memory: ", xmlGetLineNo (memory));
      return FALSE;
    }
  return TRUE;
}

static gboolean
read_disk (PvSnapshotRequest *self, xmlNode *node, GError **error)
{
  PvDiskSpec *spec = g_new0 (PvDiskSpec, 1);
  g_autofree char *kind = pv_xml_attr (node, "snapshot");
  g_autofree char *type = pv_xml_attr (node, "type");
  g_autofree char *driver = pv_xml_attr (pv_xml_child (node, "driver"), "type");

  g_ptr_array_add (self->disks, spec);
  spec->target = pv_xml_attr (node, "name");
  spec->file = pv_xml_attr (pv_xml_child (node, "source"), "file");
  if (spec->target == NULL || *spec->target == '\0')
    return pv_throw (error, PV_ERROR_INVALID, "line %ld: a disk has no name", xmlGetLineNo (node));
  for (guint i = 0; i + 1 < self->disks->len; i++)
    if (strcmp (((PvDiskSpec *) self->disks->pdata[i])->target, spec->target) == 0)
      return pv_throw (error, PV_ERROR_INVALID, "line %ld: disk %s is there twice", xmlGetLineNo (node), spec->target);
  if (!read_snapshot_kind (kind, &spec->exclude, error) || !check_overlay_kind (type, driver, error)
      || !check_overlay_file (spec, error))
    {
      g_prefix_error (error, "line %ld: disk %s: ", xmlGetLineNo (node), spec->target);
      return FALSE;
    }
  return TRUE;
}

static gboolean
read_request (PvSnapshotRequest *self, xmlNode *root, GError **error)
{
  self->name = pv_xml_text (pv_xml_child (root, "name"));
  self->description = pv_xml_text (pv_xml_child (root, "description"));
  if (self->memory_file == NULL && !read_memory (self, pv_xml_child (root, "memory"), error))
    return FALSE;
  for (xmlNode *node = pv_xml_descend (root, "disks", "disk", NULL); node != NULL; node = pv_xml_next (node))
    if (!read_disk (self, node, error))
      return FALSE;
  return TRUE;
}

/* What may stand in what: an element below another one, or "@NAME", an attribute of it. */
static const struct
{
  const char *in, *name;
} known[] = {
  { "domainsnapshot", "name" }, { "domainsnapshot", "description" }, { "domainsnapshot", "memory" },
  { "domainsnapshot", "disks" }, { "memory", "@snapshot" },          { "memory", "@file" },
  { "disks", "disk" },           { "disk", "@name" },                { "disk", "@snapshot" },
  { "disk", "@type" },           { "disk", "driver" },               { "disk", "source" },
  { "driver", "@type" },         { "source", "@file" },
};

static gboolean
is_known (const char *in, const char *kind, const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (g_str_equal (known[i].in, in) && g_str_has_prefix (known[i].name, kind)
        && g_str_equal (known[i].name + strlen (kind), name))
      return TRUE;
  return FALSE;
}

/* Whoever does not know a part cannot do what it asks for. */
static gboolean
check_known (xmlNode *node, GError **error)
{
  const char *in = (const char *) node->name;

  for (xmlAttr *attr = node->properties; attr != NULL; attr = attr->next)
    if (attr->ns != NULL || !is_known (in, "@", (const char *) attr->name))
      return pv_throw (error, PV_ERROR_UNSUPPORTED, "line %ld: %s: attribute %s", xmlGetLineNo (node), in, attr->name);
  for (xmlNode *child = node->children; child != NULL; child = child->next)
    if (child->type == XML_ELEMENT_NODE)
      {
        if (child->ns != NULL || !is_known (in, "", (const char *) child->name))
          return pv_throw (error, PV_ERROR_UNSUPPORTED, "line %ld: %s: element %s", xmlGetLineNo (node), in,
                           child->name);
        if (!check_known (child, error))
          return FALSE;
      }
  return TRUE;
}

static gboolean
read_memory_file (PvSnapshotRequest *self, xmlNode *memory, GError **error)
{
  g_autofree char *kind = pv_xml_attr (memory, "snapshot");

  self->memory_file = pv_xml_attr (memory, "file");
  if (self->memory_file != NULL && g_path_is_absolute (self->memory_file)
      && (kind == NULL || g_str_equal (kind, "external")))
    return TRUE;
  return pv_throw (error, PV_ERROR_UNSUPPORTED, "not an external snapshot of memory in a file with a whole path");
}

static PvSnapshotRequest *
parse (const char *xml, gboolean libvirt, GError **error)
{
  g_autoptr(xmlDoc) document = pv_xml_parse (xml, "domainsnapshot", WHAT, error);
  xmlNode *root = document != NULL ? xmlDocGetRootElement (document) : NULL;
  g_autoptr(PvSnapshotRequest) self = NULL;

  if (root == NULL)
    return NULL;
  self = g_new0 (PvSnapshotRequest, 1);
  if (libvirt
      && (!check_known (root, error) || !read_memory_file (self, pv_xml_child (root, "memory"), error)))
    return NULL;
  self->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_disk_spec_free);
  if (!read_request (self, root, error))
    {
      g_prefix_error (error, "snapshot description: ");
      return NULL;
    }
  return g_steal_pointer (&self);
}

PvSnapshotRequest *
pv_snapshot_request_parse (const char *xml, GError **error)
{
  return parse (xml, FALSE, error);
}

PvSnapshotRequest *
pv_snapshot_request_parse_libvirt (const char *xml, GError **error)
{
  return parse (xml, TRUE, error);
}
