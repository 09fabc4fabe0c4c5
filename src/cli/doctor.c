/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/doctor.h"

#include <stdarg.h>

#include "util/snapshot-name.h"

const char *
pv_finding_status_to_string (PvFindingStatus status)
{
  static const char *const names[] = { "ok", "note", "bad" };

  g_return_val_if_fail (status < G_N_ELEMENTS (names), "?");
  return names[status];
}

static void
finding_free (gpointer data)
{
  PvFinding *self = data;

  g_free (self->check);
  g_free (self->finding);
  g_free (self->cure);
  g_free (self);
}

PvDoctor *
pv_doctor_new (void)
{
  PvDoctor *self = g_new0 (PvDoctor, 1);

  self->findings = g_ptr_array_new_with_free_func (finding_free);
  return self;
}

void
pv_doctor_free (PvDoctor *self)
{
  g_ptr_array_unref (self->findings);
  g_free (self);
}

void
pv_doctor_add (PvDoctor *self, const char *check, PvFindingStatus status, const char *cure, const char *format,
               ...)
{
  PvFinding *finding = g_new0 (PvFinding, 1);
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  finding->check = g_strdup (check);
  finding->status = status;
  finding->finding = g_utf8_make_valid (text, -1);
  finding->cure = g_strdup (cure);
  g_ptr_array_add (self->findings, finding);
}

PvFindingStatus
pv_doctor_worst (PvDoctor *self)
{
  PvFindingStatus worst = PV_FINDING_OK;

  for (guint i = 0; i < self->findings->len; i++)
    worst = MAX (worst, ((const PvFinding *) g_ptr_array_index (self->findings, i))->status);
  return worst;
}
