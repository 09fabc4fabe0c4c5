/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDoctor: findings about this host, each with what mends it.
 *
 * One thread at a time.
 */
#pragma once

#include "cli/cli.h"

G_BEGIN_DECLS

typedef enum
{
  PV_FINDING_OK,
  PV_FINDING_NOTE, /* works, but less well than it could, or is for the user to judge */
  PV_FINDING_BAD,  /* something will not work */
} PvFindingStatus;
const char *pv_finding_status_to_string (PvFindingStatus status); /* "ok", "note", "bad" */

typedef struct
{
  char *check;   /* (owned): what was looked at: "kernel", "qemu" … */
  PvFindingStatus status;
  char *finding; /* (owned): a sentence */
  char *cure;    /* (owned) (nullable): what to do */
} PvFinding;

typedef struct
{
  GPtrArray *findings; /* (owned) (element-type PvFinding) */
} PvDoctor;

PvDoctor *pv_doctor_new (void);
void pv_doctor_free (PvDoctor *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDoctor, pv_doctor_free)

/* @cure: (nullable): none needed. */
void pv_doctor_add (PvDoctor *self, const char *check, PvFindingStatus status, const char *cure,
                    const char *format, ...) G_GNUC_PRINTF (5, 6);
/* The worst of all findings. */
PvFindingStatus pv_doctor_worst (PvDoctor *self);

/* The parts, each with its own file. */
void pv_doctor_look_at_host (PvDoctor *self);
void pv_doctor_look_at_libvirt (PvDoctor *self, PvCli *cli);
/* Called by the part above. */
void pv_doctor_look_at_policies (PvDoctor *self, PvCli *cli, PvConnection *connection);
void pv_doctor_look_at_store (PvDoctor *self, PvCli *cli);

/* What killed captures, restores and pagers have left. */
void pv_doctor_look_at_leftovers (PvDoctor *self, PvCli *cli);
/* What serves the store to libvirt and to guests: its hook, the pool, the disks of 'pagevault mount'. */
void pv_doctor_look_at_served (PvDoctor *self, PvCli *cli);

/* Starts @emulator without a machine and asks it: does it know background snapshots, and does this kernel let it?
 * Both (out). */
gboolean pv_doctor_probe_emulator (const char *emulator, gboolean *known, gboolean *allowed, char **version,
                                   GError **error);

G_END_DECLS
