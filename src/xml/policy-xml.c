/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/policy-xml.h"

#include <stdarg.h>
#include <string.h>

#include "util/error.h"
#include "xml/policy-private.h"
#include "xml/xml-node.h"
#include "xml/xml-schema.h"

#define WHAT "policy"

static void
schedule_clear (gpointer data)
{
  g_clear_pointer (&((PvSchedule *) data)->zone, g_free);
}

void
pv_policy_free (PvPolicy *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->schedules);
  g_free (self->engine);
  g_free (self->on_overrun);
  g_ptr_array_unref (self->disks);
  g_free (self->push);
  g_free (self);
}

static gboolean throw_at (xmlNode *node, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* "line 3: buffer: …" */
static gboolean
throw_at (xmlNode *node, GError **error, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  return pv_throw (error, PV_ERROR_INVALID, "line %ld: %s: %s", xmlGetLineNo (node), (const char *) node->name,
                   message);
}

/* --- what may stand where ---------------------------------------------------------------------------------------- */

/* Lists end in NULL. */
static gboolean
is_one_of (const char *word, const char *const *words)
{
  return g_strv_contains (words, word);
}

static gboolean
check_attributes (xmlNode *node, const char *const *names, GError **error)
{
  for (xmlAttr *attribute = node->properties; attribute != NULL; attribute = attribute->next)
    if (attribute->ns != NULL || !is_one_of ((const char *) attribute->name, names))
      return throw_at (node, error, "the attribute '%s' is unknown here", (const char *) attribute->name);
  return TRUE;
}

/* Whether white space is all that @node has between its elements. */
static gboolean
check_no_text (xmlNode *node, GError **error)
{
  for (xmlNode *at = node->children; at != NULL; at = at->next)
    if ((at->type == XML_TEXT_NODE && !xmlIsBlankNode (at)) || at->type == XML_CDATA_SECTION_NODE)
      return throw_at (node, error, "there is text where none belongs");
  return TRUE;
}

static gboolean
check_no_elements (xmlNode *node, GError **error)
{
  for (xmlNode *at = node->children; at != NULL; at = at->next)
    if (at->type == XML_ELEMENT_NODE)
      return throw_at (at, error, "there is no such element in '%s'", (const char *) node->name);
  return TRUE;
}

static gboolean
check_empty (xmlNode *node, GError **error)
{
  return check_no_text (node, error) && check_no_elements (node, error);
}

/* --- elements ---------------------------------------------------------------------------------------------------- */

/* "6h" */
static gboolean
read_duration (const char *text, guint *seconds)
{
  char *unit = NULL;
  guint64 value = g_ascii_isdigit (*text) ? g_ascii_strtoull (text, &unit, 10) : 0;

  for (guint i = 0; value > 0 && value <= PV_SCHEDULE_EVERY_MAX && i < G_N_ELEMENTS (pv_policy_units); i++)
    if (g_str_equal (unit, pv_policy_units[i].name) && *text != '0')
      {
        *seconds = (guint) MIN (value * pv_policy_units[i].seconds, PV_SCHEDULE_EVERY_MAX + 1);
        return *seconds <= PV_SCHEDULE_EVERY_MAX;
      }
  return FALSE;
}

/* "02:30" */
static gboolean
read_time (const char *text, guint *minute)
{
  if (strlen (text) != 5 || text[2] != ':')
    return FALSE;
  for (guint i = 0; i < 5; i++)
    if (i != 2 && !g_ascii_isdigit (text[i]))
      return FALSE;
  *minute = (guint) ((text[0] - '0') * 10 + text[1] - '0') * 60 + (guint) ((text[3] - '0') * 10 + text[4] - '0');
  return *minute < 24 * 60 && text[3] < '6';
}

static gboolean
read_days (const char *text, guint *days)
{
  g_auto(GStrv) names = g_strsplit (text, ",", -1);

  *days = 0;
  for (char **name = names; *name != NULL; name++)
    {
      guint i = 0;

      while (i < G_N_ELEMENTS (pv_policy_days) && !g_str_equal (*name, pv_policy_days[i]))
        i++;
      if (i == G_N_ELEMENTS (pv_policy_days))
        return FALSE;
      *days |= 1u << i;
    }
  return *days != 0;
}

/* GLib takes the path of a file for a zone as well: names only. */
static gboolean
zone_is_known (const char *zone)
{
  g_autoptr(GTimeZone) found = NULL;

  if (!g_ascii_isalpha (*zone) || strspn (zone, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/")
                                      != strlen (zone))
    return FALSE;
  found = g_time_zone_new_identifier (zone);
  return found != NULL;
}

static gboolean
read_time_of_day (xmlNode *node, PvSchedule *schedule, const char *at, GError **error)
{
  g_autofree char *days = pv_xml_attr (node, "days");
  g_autofree char *zone = pv_xml_attr (node, "zone");

  if (!read_time (at, &schedule->minute))
    return throw_at (node, error, "at='%s' is not a time of the day: write for example 02:30", at);
  schedule->days = PV_POLICY_ALL_DAYS;
  if (days != NULL && !read_days (days, &schedule->days))
    return throw_at (node, error, "days='%s': write for example mon,wed,fri", days);
  if (zone != NULL && !zone_is_known (zone))
    return throw_at (node, error, "zone='%s' is not known here: write for example Europe/Berlin, or leave it out",
                     zone);
  schedule->zone = g_steal_pointer (&zone);
  return TRUE;
}

static gboolean
read_schedule (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const with_every[] = { "every", NULL };
  static const char *const with_at[] = { "at", "days", "zone", NULL };
  g_autofree char *every = pv_xml_attr (node, "every");
  g_autofree char *at = pv_xml_attr (node, "at");
  PvSchedule schedule = { 0 };

  if (self->schedules->len == PV_SCHEDULES_MAX)
    return throw_at (node, error, "there are more than %d", PV_SCHEDULES_MAX);
  if ((every != NULL) == (at != NULL))
    return throw_at (node, error, "say either every='6h' or at='02:30'");
  if (!check_attributes (node, every != NULL ? with_every : with_at, error) || !check_empty (node, error))
    return FALSE;
  if (every != NULL && !read_duration (every, &schedule.every))
    return throw_at (node, error, "every='%s': write a number and s, min, h or d, at most 366d", every);
  if (at != NULL && !read_time_of_day (node, &schedule, at, error))
    return FALSE;
  g_array_append_val (self->schedules, schedule);
  return TRUE;
}

static gboolean
read_retention (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const names[] = { "last", "hourly", "daily", "weekly", NULL };
  guint *const fields[] = { &self->retention.last, &self->retention.hourly, &self->retention.daily,
                            &self->retention.weekly };

  if (!check_attributes (node, names, error) || !check_empty (node, error))
    return FALSE;
  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autofree char *count = pv_xml_attr (node, names[i]);

      if (count != NULL && !pv_policy_read_count (count, fields[i]))
        return throw_at (node, error, "%s='%s' is not a number from 0 to %d", names[i], count, PV_RETENTION_MAX);
    }
  return !pv_retention_keeps_all (&self->retention)
         || throw_at (node, error, "it would keep nothing: say how many, or leave it out to keep everything");
}

static gboolean
read_engine (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const no_attributes[] = { NULL };
  static const char *const engines[] = { "direct", "qemu", "live", "paused", NULL };
  g_autofree char *text = pv_xml_text (node);
  g_auto(GStrv) words = g_strsplit (text != NULL ? text : "", ",", -1);

  if (!check_attributes (node, no_attributes, error) || !check_no_elements (node, error))
    return FALSE;
  if (text == NULL)
    return throw_at (node, error, "it is empty: write auto, or engines with commas between");
  for (char **word = words; *word != NULL && !g_str_equal (text, "auto"); word++)
    if (!is_one_of (*word, engines))
      return throw_at (node, error, "'%s' is unknown: use auto, direct, qemu, live or paused", *word);
  self->engine = g_steal_pointer (&text);
  return TRUE;
}

static gboolean
read_buffer_size (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", NULL };
  g_autofree char *unit = pv_xml_attr (node, "unit");
  g_autofree char *text = pv_xml_text (node);
  guint64 value = 0;
  guint shift = 0;

  while (unit != NULL && units[shift / 10] != NULL && !g_str_equal (units[shift / 10], unit))
    shift += 10;
  if (unit != NULL && units[shift / 10] == NULL)
    return throw_at (node, error, "unit='%s' is unknown: use bytes, KiB, MiB or GiB", unit);
  if (text == NULL)
    return unit == NULL || throw_at (node, error, "it has a unit and no number");
  if (!g_ascii_string_to_unsigned (text, 10, 1, G_MAXUINT64 >> 31, &value, NULL))
    return throw_at (node, error, "'%s' is not a size", text);
  self->buffer = value << shift;
  return TRUE;
}

static gboolean
read_buffer (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const names[] = { "unit", "overrun", NULL };
  static const char *const overruns[] = { "spill", "throttle", "fail", NULL };

  if (!check_attributes (node, names, error) || !check_no_elements (node, error)
      || !read_buffer_size (self, node, error))
    return FALSE;
  self->on_overrun = pv_xml_attr (node, "overrun");
  return self->on_overrun == NULL || is_one_of (self->on_overrun, overruns)
         || throw_at (node, error, "overrun='%s' is unknown: use spill, throttle or fail", self->on_overrun);
}

/* snapshot='no' or 'external'. */
static gboolean
read_part (xmlNode *node, gboolean *exclude, GError **error)
{
  g_autofree char *kind = pv_xml_attr (node, "snapshot");

  *exclude = g_strcmp0 (kind, "no") == 0;
  if (*exclude || g_strcmp0 (kind, "external") == 0)
    return TRUE;
  return kind == NULL ? throw_at (node, error, "say snapshot='no' or snapshot='external'")
                      : throw_at (node, error, "snapshot='%s' is not possible here: use external or no", kind);
}

static gboolean
read_memory (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const names[] = { "snapshot", NULL };

  return check_attributes (node, names, error) && check_empty (node, error)
         && read_part (node, &self->disk_only, error);
}

static gboolean
read_disk (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const names[] = { "name", "snapshot", NULL };
  PvDiskSpec *disk = g_new0 (PvDiskSpec, 1);

  g_ptr_array_add (self->disks, disk);
  disk->target = pv_xml_attr (node, "name");
  if (!check_attributes (node, names, error) || !check_empty (node, error))
    return FALSE;
  if (disk->target == NULL || *disk->target == '\0' || strpbrk (disk->target, "=,") != NULL)
    return throw_at (node, error, "it needs the name of a disk, like vda");
  for (guint i = 0; i + 1 < self->disks->len; i++)
    if (g_str_equal (((PvDiskSpec *) self->disks->pdata[i])->target, disk->target))
      return throw_at (node, error, "%s is there twice", disk->target);
  return read_part (node, &disk->exclude, error);
}

static gboolean
read_disks (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const no_attributes[] = { NULL };

  if (!check_attributes (node, no_attributes, error) || !check_no_text (node, error))
    return FALSE;
  for (xmlNode *at = node->children; at != NULL; at = at->next)
    {
      if (at->type != XML_ELEMENT_NODE)
        continue;
      if (at->ns != NULL || strcmp ((const char *) at->name, "disk") != 0)
        return throw_at (at, error, "there is no such element in 'disks'");
      if (!read_disk (self, at, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
read_quiesce (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const no_attributes[] = { NULL };

  self->quiesce = TRUE;
  return check_attributes (node, no_attributes, error) && check_empty (node, error);
}

static gboolean
read_push (PvPolicy *self, xmlNode *node, GError **error)
{
  static const char *const names[] = { "remote", NULL };
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

  self->push = pv_xml_attr (node, "remote");
  if (!check_attributes (node, names, error) || !check_empty (node, error))
    return FALSE;
  return (self->push != NULL && *self->push != '\0' && strchr (".-", *self->push) == NULL
          && strlen (self->push) <= 64 && strspn (self->push, allowed) == strlen (self->push))
         || throw_at (node, error, "remote='%s' is not the name of a remote: 'pagevault remote add' makes one",
                      self->push != NULL ? self->push : "");
}

/* --- the document ------------------------------------------------------------------------------------------------ */

static const struct
{
  const char *name;
  gboolean many;
  gboolean (*read) (PvPolicy *self, xmlNode *node, GError **error);
} elements[] = {
  { "schedule", TRUE, read_schedule }, { "retention", FALSE, read_retention }, { "engine", FALSE, read_engine },
  { "buffer", FALSE, read_buffer },    { "memory", FALSE, read_memory },       { "disks", FALSE, read_disks },
  { "quiesce", FALSE, read_quiesce },  { "push", FALSE, read_push },
};

static gboolean
read_element (PvPolicy *self, xmlNode *node, GError **error)
{
  for (guint i = 0; node->ns == NULL && i < G_N_ELEMENTS (elements); i++)
    if (strcmp ((const char *) node->name, elements[i].name) == 0)
      {
        if (!elements[i].many && pv_xml_child (node->parent, elements[i].name) != node)
          return throw_at (node, error, "it is there twice");
        return elements[i].read (self, node, error);
      }
  return throw_at (node, error, "there is no such element in a policy");
}

static gboolean
read_root (PvPolicy *self, xmlNode *root, GError **error)
{
  static const char *const names[] = { "enabled", NULL };
  g_autofree char *enabled = pv_xml_attr (root, "enabled");

  if (!check_attributes (root, names, error) || !check_no_text (root, error))
    return FALSE;
  if (enabled != NULL && !g_str_equal (enabled, "yes") && !g_str_equal (enabled, "no"))
    return throw_at (root, error, "enabled='%s': write yes or no", enabled);
  self->enabled = g_strcmp0 (enabled, "no") != 0;
  for (xmlNode *node = root->children; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && !read_element (self, node, error))
      return FALSE;
  return TRUE;
}

PvPolicy *
pv_policy_parse (const char *xml, GError **error)
{
  g_autoptr(xmlDoc) document = pv_xml_parse_in (xml, "policy", PV_POLICY_URI, WHAT, error);
  g_autoptr(PvPolicy) self = NULL;

  if (document == NULL)
    return NULL;
  self = g_new0 (PvPolicy, 1);
  self->schedules = g_array_new (FALSE, FALSE, sizeof (PvSchedule));
  g_array_set_clear_func (self->schedules, schedule_clear);
  self->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_disk_spec_free);
  if (!read_root (self, xmlDocGetRootElement (document), error) || !pv_xml_validate (document, "policy.rng", error))
    {
      g_prefix_error (error, "policy: ");
      return NULL;
    }
  return g_steal_pointer (&self);
}
