/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pipeline.h"

#include "util/error.h"

typedef struct
{
  guint number;
  guint64 sum; /* of 0 to number, done by the pool */
} Job;

static gint n_freed;

static void
job_free (gpointer job)
{
  g_atomic_int_inc (&n_freed);
  g_free (job);
}

/* @data: (nullable): the number of the job that fails. */
static gboolean
do_job (gpointer data, gpointer bad, GError **error)
{
  Job *job = data;

  if (bad != NULL && job->number == GPOINTER_TO_UINT (bad))
    return pv_throw (error, PV_ERROR_FAILED, "job %u", job->number);
  for (guint i = 0; i <= job->number % 1000; i++)
    job->sum += i;
  return TRUE;
}

static Job *
job_new (guint number)
{
  Job *job = g_new0 (Job, 1);

  job->number = number;
  return job;
}

static void
check_job (Job *job, guint number)
{
  guint64 n = number % 1000;

  g_assert_cmpuint (job->number, ==, number);
  g_assert_cmpuint (job->sum, ==, n * (n + 1) / 2);
  job_free (job);
}

static void
test_order (void)
{
  g_autoptr(PvPipeline) pipeline = pv_pipeline_new (4, do_job, job_free, NULL);
  guint pushed = 0, popped = 0;

  n_freed = 0;
  while (popped < 5000)
    {
      while (pushed < 5000 && !pv_pipeline_full (pipeline))
        pv_pipeline_push (pipeline, job_new (pushed++));
      check_job (pv_pipeline_pop (pipeline, NULL), popped++);
    }
  g_assert_true (pv_pipeline_empty (pipeline));
  g_assert_cmpint (n_freed, ==, 5000);
}

static void
test_failure (void)
{
  g_autoptr(PvPipeline) pipeline = pv_pipeline_new (2, do_job, job_free, GUINT_TO_POINTER (2));
  g_autoptr(GError) error = NULL;

  n_freed = 0;
  for (guint i = 0; i < 4; i++)
    pv_pipeline_push (pipeline, job_new (i));
  check_job (pv_pipeline_pop (pipeline, NULL), 0);
  check_job (pv_pipeline_pop (pipeline, NULL), 1);
  g_assert_null (pv_pipeline_pop (pipeline, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_cmpstr (error->message, ==, "job 2");
  check_job (pv_pipeline_pop (pipeline, NULL), 3);
  g_assert_cmpint (n_freed, ==, 4);
}

static void
test_let_go (void)
{
  PvPipeline *pipeline = pv_pipeline_new (1, do_job, job_free, NULL);
  guint pushed = 0;

  n_freed = 0;
  while (!pv_pipeline_full (pipeline))
    pv_pipeline_push (pipeline, job_new (pushed++));
  pv_pipeline_free (pipeline);
  g_assert_cmpint (n_freed, ==, pushed);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pipeline/order", test_order);
  g_test_add_func ("/pipeline/failure", test_failure);
  g_test_add_func ("/pipeline/let-go", test_let_go);
  return g_test_run ();
}
