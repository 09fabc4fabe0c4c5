/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies: are they well-formed, do they work, does somebody run them. */
#include "config.h"

#include "cli/doctor.h"
#include "policy/policy-report.h"
#include "virt/guest-policy.h"

static void
look_at_policy (PvDoctor *self, PvCli *cli, const PvGuestPolicy *guest)
{
  g_autofree char *check = g_strconcat ("policy ", guest->domain, NULL);
  g_auto(PvPolicyState) state = { 0 };
  g_auto(PvPolicyReport) report = { 0 };

  if (guest->policy == NULL)
    {
      pv_doctor_add (self, check, PV_FINDING_BAD,
                     "mend it with virsh edit, or pagevault policy set; the guest itself is not concerned", "%s",
                     guest->bad->message);
      return;
    }
  if (guest->differs)
    pv_doctor_add (self, check, PV_FINDING_NOTE, "pagevault policy set, or virsh metadata --config, sets both",
                   "the running guest's own metadata has another policy: that of the persistent definition counts");
  pv_policy_state_load (&state, cli->store_directory, guest->uuid);
  pv_policy_report (&report, guest->policy, NULL, &state, guest->running, FALSE, TRUE,
                    g_get_real_time () / G_USEC_PER_SEC);
  if (!report.healthy)
    pv_doctor_add (self, check, PV_FINDING_BAD, "pagevault policy run tries it now", "it is %s%s%s", report.state,
                   report.message != NULL ? ": " : "", report.message != NULL ? report.message : "");
}

void
pv_doctor_look_at_policies (PvDoctor *self, PvCli *cli, PvConnection *connection)
{
  static char *no_names[] = { NULL };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) guests = pv_guest_policies (connection, no_names, &error);
  guint n = 0;

  if (guests == NULL)
    {
      pv_doctor_add (self, "policies", PV_FINDING_NOTE, NULL, "%s", error->message);
      return;
    }
  for (guint i = 0; i < guests->len; i++)
    {
      const PvGuestPolicy *guest = guests->pdata[i];

      if (guest->text == NULL)
        continue;
      n += guest->policy != NULL && guest->policy->enabled;
      look_at_policy (self, cli, guest);
    }
  if (n > 0 && !pv_policy_is_served (cli->store_directory))
    pv_doctor_add (self, "policies", PV_FINDING_BAD, "systemctl enable --now pagevaultd",
                   "%u guests have a policy, and no pagevaultd runs it for this store", n);
  else if (n > 0)
    pv_doctor_add (self, "policies", PV_FINDING_OK, NULL, "pagevaultd runs those of %u guests", n);
}
