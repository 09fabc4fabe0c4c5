/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What policies say in words, and the policy as it is written. */
#include "config.h"

#include <string.h>

#include "util/error.h"
#include "xml/policy-private.h"

const char *const pv_policy_days[7] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
const PvPolicyUnit pv_policy_units[4] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };

/* --- retention --------------------------------------------------------------------------------------------------- */

static guint *
retention_field (PvRetention *self, const char *name, gsize length)
{
  struct
  {
    const char *name;
    guint *field;
  } fields[] = { { "last", &self->last }, { "hourly", &self->hourly }, { "daily", &self->daily },
                 { "weekly", &self->weekly } };

  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    if (strlen (fields[i].name) == length && strncmp (name, fields[i].name, length) == 0)
      return fields[i].field;
  return NULL;
}

gboolean
pv_policy_read_count (const char *text, guint *count)
{
  guint64 value = 0;

  if (!g_ascii_string_to_unsigned (text, 10, 0, PV_RETENTION_MAX, &value, NULL))
    return FALSE;
  *count = (guint) value;
  return TRUE;
}

gboolean
pv_retention_parse (const char *text, PvRetention *retention, GError **error)
{
  g_auto(GStrv) parts = g_strsplit (text, ",", -1);

  *retention = (PvRetention){ 0 };
  for (char **part = parts; *part != NULL; part++)
    {
      const char *equals = strchr (*part, '=');
      guint *field = equals != NULL ? retention_field (retention, *part, (gsize) (equals - *part)) : NULL;

      if (field == NULL || !pv_policy_read_count (equals + 1, field))
        return pv_throw (error, PV_ERROR_INVALID,
                         "'%s' is not a retention: write last=N, hourly=N, daily=N and weekly=N with commas between, N "
                         "at most %d",
                         text, PV_RETENTION_MAX);
    }
  if (pv_retention_keeps_all (retention))
    return pv_throw (error, PV_ERROR_INVALID, "'%s' would keep nothing", text);
  return TRUE;
}

gboolean
pv_retention_keeps_all (const PvRetention *self)
{
  return self->last == 0 && self->hourly == 0 && self->daily == 0 && self->weekly == 0;
}

static void
add_count (GString *out, gboolean as_attribute, const char *name, guint count)
{
  if (count > 0 && as_attribute)
    g_string_append_printf (out, " %s='%u'", name, count);
  else if (count > 0)
    g_string_append_printf (out, "%s%s=%u", out->len > 0 ? "," : "", name, count);
}

static char *
counts_to_string (const PvRetention *self, gboolean as_attributes)
{
  GString *out = g_string_new (NULL);

  add_count (out, as_attributes, "last", self->last);
  add_count (out, as_attributes, "hourly", self->hourly);
  add_count (out, as_attributes, "daily", self->daily);
  add_count (out, as_attributes, "weekly", self->weekly);
  return g_string_free (out, FALSE);
}

char *
pv_retention_to_string (const PvRetention *self)
{
  return pv_retention_keeps_all (self) ? g_strdup ("everything") : counts_to_string (self, FALSE);
}

/* --- schedules --------------------------------------------------------------------------------------------------- */

/* (transfer full): "6h": in the largest unit that it is a whole number of. */
static char *
duration_to_string (guint seconds)
{
  guint i = 0;

  while (seconds % pv_policy_units[i].seconds != 0)
    i++;
  return g_strdup_printf ("%u%s", seconds / pv_policy_units[i].seconds, pv_policy_units[i].name);
}

/* (transfer full): "mon,fri" */
static char *
days_to_string (guint days)
{
  g_autoptr(GString) out = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (pv_policy_days); i++)
    if ((days & 1u << i) != 0)
      g_string_append_printf (out, "%s%s", out->len > 0 ? "," : "", pv_policy_days[i]);
  return g_strdup (out->str);
}

char *
pv_schedule_to_string (const PvSchedule *self)
{
  g_autofree char *every = self->every > 0 ? duration_to_string (self->every) : NULL;
  g_autofree char *days = days_to_string (self->days);

  if (every != NULL)
    return g_strdup_printf ("every %s", every);
  return g_strdup_printf ("at %02u:%02u%s%s%s%s", self->minute / 60, self->minute % 60,
                          self->days != PV_POLICY_ALL_DAYS ? " " : "", self->days != PV_POLICY_ALL_DAYS ? days : "",
                          self->zone != NULL ? " " : "", self->zone != NULL ? self->zone : "");
}

/* --- the document ------------------------------------------------------------------------------------------------ */

/* Elements are written as "<P:name", P being the prefix, if any: libvirt takes either. */
typedef struct
{
  GString *out;
  const char *prefix; /* "pagevault:" or "" */
} Writer;

static void
write_line (Writer *self, const char *element, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* One empty element with its attributes, escaped. */
static void
write_line (Writer *self, const char *element, const char *format, ...)
{
  g_autofree char *attributes = NULL;
  va_list args;

  va_start (args, format);
  attributes = g_markup_vprintf_escaped (format, args);
  va_end (args);
  g_string_append_printf (self->out, "  <%s%s%s/>\n", self->prefix, element, attributes);
}

static void
write_schedule (Writer *self, const PvSchedule *schedule)
{
  g_autofree char *every = schedule->every > 0 ? duration_to_string (schedule->every) : NULL;
  g_autofree char *days = days_to_string (schedule->days);
  g_autoptr(GString) more = g_string_new (NULL);

  if (every != NULL)
    {
      write_line (self, "schedule", " every='%s'", every);
      return;
    }
  if (schedule->days != PV_POLICY_ALL_DAYS)
    g_string_append_printf (more, " days='%s'", days);
  if (schedule->zone != NULL)
    g_string_append_printf (more, " zone='%s'", schedule->zone);
  g_string_append_printf (self->out, "  <%sschedule at='%02u:%02u'%s/>\n", self->prefix, schedule->minute / 60,
                          schedule->minute % 60, more->str);
}

static void
write_retention (Writer *self, const PvRetention *retention)
{
  g_autofree char *counts = counts_to_string (retention, TRUE);

  if (*counts != '\0')
    g_string_append_printf (self->out, "  <%sretention%s/>\n", self->prefix, counts);
}

static void
write_buffer (Writer *self, const PvPolicy *policy)
{
  g_autofree char *overrun
    = policy->on_overrun != NULL ? g_strdup_printf (" overrun='%s'", policy->on_overrun) : g_strdup ("");

  if (policy->buffer > 0 && policy->buffer % (1u << 20) == 0)
    g_string_append_printf (self->out, "  <%sbuffer unit='MiB'%s>%" G_GUINT64_FORMAT "</%sbuffer>\n", self->prefix,
                            overrun, policy->buffer >> 20, self->prefix);
  else if (policy->buffer > 0)
    g_string_append_printf (self->out, "  <%sbuffer unit='bytes'%s>%" G_GUINT64_FORMAT "</%sbuffer>\n", self->prefix,
                            overrun, policy->buffer, self->prefix);
  else if (policy->on_overrun != NULL)
    g_string_append_printf (self->out, "  <%sbuffer%s/>\n", self->prefix, overrun);
}

static void
write_disks (Writer *self, GPtrArray *disks)
{
  if (disks->len == 0)
    return;
  g_string_append_printf (self->out, "  <%sdisks>\n", self->prefix);
  for (guint i = 0; i < disks->len; i++)
    {
      const PvDiskSpec *disk = disks->pdata[i];

      g_string_append (self->out, "  ");
      write_line (self, "disk", " name='%s' snapshot='%s'", disk->target, disk->exclude ? "no" : "external");
    }
  g_string_append_printf (self->out, "  </%sdisks>\n", self->prefix);
}

char *
pv_policy_to_xml (const PvPolicy *self, gboolean with_namespace)
{
  Writer writer = { .out = g_string_new (NULL), .prefix = with_namespace ? PV_POLICY_PREFIX ":" : "" };

  g_string_append_printf (writer.out, "<%spolicy%s%s>\n", writer.prefix,
                          with_namespace ? " xmlns:" PV_POLICY_PREFIX "='" PV_POLICY_URI "'" : "",
                          self->enabled ? "" : " enabled='no'");
  for (guint i = 0; i < self->schedules->len; i++)
    write_schedule (&writer, &g_array_index (self->schedules, PvSchedule, i));
  write_retention (&writer, &self->retention);
  if (self->engine != NULL)
    g_string_append_printf (writer.out, "  <%sengine>%s</%sengine>\n", writer.prefix, self->engine, writer.prefix);
  write_buffer (&writer, self);
  if (self->disk_only)
    write_line (&writer, "memory", " snapshot='%s'", "no");
  write_disks (&writer, self->disks);
  if (self->quiesce)
    write_line (&writer, "quiesce", "%s", "");
  if (self->push != NULL)
    write_line (&writer, "push", " remote='%s'", self->push);
  g_string_append_printf (writer.out, "</%spolicy>\n", writer.prefix);
  return g_string_free (writer.out, FALSE);
}
