/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"
#include "cli/doctor.h"

static void
print_json (PvDoctor *doctor)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "checks");
  json_builder_begin_array (builder);
  for (guint i = 0; i < doctor->findings->len; i++)
    {
      const PvFinding *finding = g_ptr_array_index (doctor->findings, i);

      json_builder_begin_object (builder);
      pv_json_string (builder, "check", finding->check);
      pv_json_string (builder, "status", pv_finding_status_to_string (finding->status));
      pv_json_string (builder, "finding", finding->finding);
      pv_json_string (builder, "cure", finding->cure);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_text (PvDoctor *doctor)
{
  static const PvColumn columns[] = {
    { NULL, PV_COLUMN_LEFT },
    { NULL, PV_COLUMN_LEFT },
    { NULL, PV_COLUMN_WRAP },
  };
  g_autoptr(PvTable) table = pv_table_new (columns, G_N_ELEMENTS (columns));

  for (guint i = 0; i < doctor->findings->len; i++)
    {
      const PvFinding *finding = g_ptr_array_index (doctor->findings, i);

      pv_table_row (table, pv_finding_status_to_string (finding->status), finding->check, finding->finding, NULL);
      if (finding->cure != NULL)
        {
          g_autofree char *cure = g_strconcat ("-> ", finding->cure, NULL);

          pv_table_row (table, "", "", cure, NULL);
        }
    }
  pv_table_print (table);
}

static PvExit
run_doctor (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvDoctor) doctor = pv_doctor_new ();

  pv_doctor_look_at_host (doctor);
  pv_doctor_look_at_libvirt (doctor, cli);
  pv_doctor_look_at_store (doctor, cli);
  pv_doctor_look_at_leftovers (doctor, cli);
  pv_doctor_look_at_served (doctor, cli);
  if (cli->json)
    print_json (doctor);
  else
    print_text (doctor);
  return pv_doctor_worst (doctor) == PV_FINDING_BAD ? PV_EXIT_FAILED : PV_EXIT_OK;
}

const PvCommand pv_command_doctor = {
  .name = "doctor",
  .arguments = "",
  .summary = "Check kernel, QEMU, libvirt, guests and store, and say how to mend each",
  .details = "Changes nothing. 'ok' is as it should be, 'note' works with a limit that is told, 'bad'\n"
             "stops something from working; the exit status is 1 then. A line that starts with -> tells\n"
             "the cure.\n"
             "\n"
             "Example:\n"
             "  pagevault doctor --json | jq '.checks[] | select(.status == \"bad\")'\n"
             "\n"
             "Keys of --json: checks, an array of check, status (ok, note, bad), finding, cure (null for\n"
             "none).",
  .max_args = 0,
  .run = run_doctor,
};
