/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All interleavings of two pushers and a pruner in one remote, with crashes at every step, deleted snapshots, and grace
 * periods that pass: no listed snapshot ever loses the pack that it needs (docs/format-remote.md, "Removing").
 *
 * One pack is enough: both pushers need the same content, which is what makes them meet. It may be there in generations
 * 0 and 1. Every request is a step of its own. The same search finds the loss when one of the precautions is left out.
 */
#include "config.h"

#include <glib.h>
#include <string.h>

enum
{
  PUSHERS = 2,
  LISTS = 1,       /* lists of condemned packs at once */
  GENERATIONS = 2,
  TOKENS = 2,      /* lists of needs that a pusher writes */
  GRACES = 2,      /* grace periods that pass */
  STATES_MAX = 4 << 20,
};

/* Precautions that can be left out. */
typedef enum
{
  WITHOUT_NOTHING = 0,
  WITHOUT_NEEDS = 1 << 0,     /* the pruner knows what snapshots need that are listed, and nothing of pushes */
  WITHOUT_CHECK = 1 << 1,     /* the pusher does not look for condemned packs again */
  WITHOUT_FRESHNESS = 1 << 2, /* the pusher does not mind how old its needs are */
  WITHOUT_GRACE = 1 << 3,     /* the second phase follows the first at once */
  WITHOUT_TOKENS = 1 << 5,    /* a list of needs that got old is written anew under its old key */
} Without;

typedef enum
{
  IDLE,
  SEE, /* in one step: all of it is looked at again */
  WRITE_NEEDS,
  UPLOAD,
  LAST_CONDEMNED,
  LAST_PACKS,
  COMMIT,
} PusherStep;

typedef struct
{
  guint8 step;
  guint8 tokens;    /* lists of needs begun: the last one is its own */
  guint8 condemned; /* as it saw them: a bit for each generation */
  guint8 use;       /* the generation that it plans with */
  guint8 upload;    /* it is not there */
  guint8 fresh;     /* no grace period has passed since it wrote its needs */
} Pusher;

typedef enum
{
  P_PACKS,
  P_CONDEMNED,
  P_NEEDS,
  P_SNAPSHOTS,
  P_DEAD_NEEDS,
  P_REMOVE,
  P_REMOVE_LIST,
  P_CONDEMN,
} PrunerStep;

typedef struct
{
  guint8 packs;               /* a bit for each generation that is there */
  guint8 needs[PUSHERS][TOKENS];     /* the generations that the list names; 0: there is no list */
  guint8 needs_old[PUSHERS][TOKENS]; /* a grace period has passed since it was written */
  guint8 listed[PUSHERS];     /* the snapshot is there */
  guint8 condemned[LISTS];    /* the generations that the list names; 0: there is no list */
  guint8 condemned_old[LISTS];
  guint8 graces;
  Pusher pushers[PUSHERS];
  struct
  {
    guint8 step;
    guint8 packs, condemned[LISTS], old[LISTS];
    guint8 needs[PUSHERS][TOKENS], needs_old[PUSHERS][TOKENS], listed[PUSHERS];
    guint8 live;
  } pruner;
} State;

typedef struct
{
  GHashTable *seen; /* of State (owned) */
  GQueue *todo;     /* of State (not owned) */
  Without without;
  gboolean lost;
} Search;

static guint
state_hash (gconstpointer data)
{
  const guint8 *bytes = data;
  guint hash = 2166136261u;

  for (gsize i = 0; i < sizeof (State); i++)
    hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static gboolean
state_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (State)) == 0;
}

#define SWAP(a, b, size) \
  G_STMT_START { guint8 swap[size]; memcpy (swap, a, size); memcpy (a, b, size); memcpy (b, swap, size); } G_STMT_END

/* The pushers are alike: of two states that only have them the other way round one is enough. */
static void
put_in_order (State *s)
{
  if (memcmp (&s->pushers[0], &s->pushers[1], sizeof (Pusher)) <= 0)
    return;
  SWAP (&s->pushers[0], &s->pushers[1], sizeof (Pusher));
  SWAP (s->needs[0], s->needs[1], TOKENS);
  SWAP (s->needs_old[0], s->needs_old[1], TOKENS);
  SWAP (&s->listed[0], &s->listed[1], 1);
  SWAP (s->pruner.needs[0], s->pruner.needs[1], TOKENS);
  SWAP (s->pruner.needs_old[0], s->pruner.needs_old[1], TOKENS);
  SWAP (&s->pruner.listed[0], &s->pruner.listed[1], 1);
}

static void
reach (Search *search, State *state)
{
  State *copy;

  put_in_order (state);
  if (g_hash_table_contains (search->seen, state))
    return;
  g_assert_cmpuint (g_hash_table_size (search->seen), <, STATES_MAX);
  copy = g_memdup2 (state, sizeof *state);
  g_hash_table_add (search->seen, copy);
  g_queue_push_tail (search->todo, copy);
  for (guint i = 0; i < PUSHERS; i++)
    search->lost = search->lost || (state->listed[i] && state->packs == 0);
}

/* --- a pusher ----------------------------------------------------------------------------------------------------- */

static guint8
all_condemned (const State *s)
{
  guint8 all = 0;

  for (guint i = 0; i < LISTS; i++)
    all |= s->condemned[i];
  return all;
}

/* Which generation to use, and whether it is to be sent. FALSE: neither is left: it gives up. */
static gboolean
plan (const State *s, Pusher *p)
{
  for (guint8 g = 0; g < GENERATIONS; g++)
    if ((s->packs & ~p->condemned) & 1u << g)
      return p->use = g, p->upload = FALSE, TRUE;
  for (guint8 g = 0; g < GENERATIONS; g++)
    if (!((s->packs | p->condemned) & 1u << g))
      return p->use = g, p->upload = TRUE, TRUE;
  return FALSE;
}

/* A list of its own for what comes; when it has had too many, it is given up. */
static void
begin_at (Pusher *p, PusherStep step)
{
  p->step = (guint8) (p->tokens < TOKENS ? step : IDLE);
  p->tokens = (guint8) MIN (p->tokens + 1, TOKENS);
}

static void
look_again (Search *search, const State *s, Pusher *p)
{
  gboolean there = (s->packs & 1u << p->use) != 0;

  if (!there || (!(search->without & WITHOUT_CHECK) && (p->condemned & 1u << p->use)))
    begin_at (p, SEE);
  else
    p->step = COMMIT;
  p->condemned = p->use = p->upload = 0;
}

static void
pusher_step (Search *search, const State *from, guint i)
{
  State s = *from;
  Pusher *p = &s.pushers[i];

  switch (p->step)
    {
    case IDLE:
      if (p->tokens == TOKENS || s.listed[i])
        return;
      begin_at (p, SEE);
      break;
    case SEE:
      p->condemned = all_condemned (&s);
      p->step = plan (&s, p) ? WRITE_NEEDS : IDLE;
      p->condemned = 0;
      break;
    case LAST_CONDEMNED:
      p->condemned = all_condemned (&s);
      p->step = LAST_PACKS;
      break;
    case WRITE_NEEDS:
      s.needs[i][p->tokens - 1] = (guint8) (1u << p->use);
      s.needs_old[i][p->tokens - 1] = FALSE;
      p->fresh = TRUE;
      p->step = UPLOAD;
      break;
    case UPLOAD:
      if (p->upload)
        s.packs |= (guint8) (1u << p->use);
      p->step = LAST_CONDEMNED;
      break;
    case LAST_PACKS:
      look_again (search, &s, p);
      break;
    case COMMIT:
      if (!p->fresh && !(search->without & WITHOUT_FRESHNESS)) /* then it looks again */
        {
          if (search->without & WITHOUT_TOKENS)
            p->step = SEE;
          else
            begin_at (p, SEE);
          break;
        }
      s.listed[i] = TRUE;
      p->step = IDLE;
      break;
    default:
      g_assert_not_reached ();
    }
  if (p->step == IDLE)
    *p = (Pusher){ .step = IDLE, .tokens = p->tokens };
  reach (search, &s);
}

/* --- the pruner --------------------------------------------------------------------------------------------------- */

static void
find_live (Search *search, State *s)
{
  s->pruner.live = 0;
  for (guint i = 0; i < PUSHERS; i++)
    for (guint j = 0; j < TOKENS; j++)
      if (s->pruner.listed[i] || (!s->pruner.needs_old[i][j] && !(search->without & WITHOUT_NEEDS)))
        {
          s->pruner.live |= s->pruner.needs[i][j];
          s->pruner.needs[i][j] = 0; /* it stays */
        }
  memset (s->pruner.needs_old, 0, sizeof s->pruner.needs_old);
  memset (s->pruner.listed, 0, sizeof s->pruner.listed);
}

static void
pruner_step (Search *search, const State *from)
{
  State s = *from;
  gboolean done = FALSE;

  switch (s.pruner.step)
    {
    case P_PACKS:
      s.pruner.packs = s.packs;
      break;
    case P_CONDEMNED:
      memcpy (s.pruner.condemned, s.condemned, sizeof s.condemned);
      memcpy (s.pruner.old, s.condemned_old, sizeof s.condemned_old);
      break;
    case P_NEEDS:
      memcpy (s.pruner.needs, s.needs, sizeof s.needs);
      memcpy (s.pruner.needs_old, s.needs_old, sizeof s.needs_old);
      break;
    case P_SNAPSHOTS:
      memcpy (s.pruner.listed, s.listed, sizeof s.listed);
      find_live (search, &s);
      break;
    case P_DEAD_NEEDS:
      for (guint i = 0; i < PUSHERS; i++)
        for (guint j = 0; !(search->without & WITHOUT_NEEDS) && j < TOKENS; j++)
          if (s.pruner.needs[i][j])
            s.needs[i][j] = s.needs_old[i][j] = 0;
      memset (s.pruner.needs, 0, sizeof s.pruner.needs);
      break;
    case P_REMOVE:
      for (guint i = 0; i < LISTS; i++)
        if (s.pruner.old[i] || (search->without & WITHOUT_GRACE))
          s.packs &= (guint8) ~(s.pruner.condemned[i] & ~s.pruner.live);
      break;
    case P_REMOVE_LIST:
      for (guint i = 0; i < LISTS; i++)
        if (s.pruner.condemned[i] && (s.pruner.old[i] || (search->without & WITHOUT_GRACE)))
          {
            s.pruner.packs &= (guint8) ~(s.pruner.condemned[i] & ~s.pruner.live);
            s.condemned[i] = s.condemned_old[i] = 0;
          }
        else
          s.pruner.packs &= (guint8) ~s.pruner.condemned[i];
      s.pruner.packs &= (guint8) ~s.pruner.live;
      memset (s.pruner.condemned, 0, sizeof s.pruner.condemned);
      memset (s.pruner.old, 0, sizeof s.pruner.old);
      s.pruner.live = 0;
      break;
    case P_CONDEMN:
      for (guint i = 0; !done && i < LISTS; i++)
        if (s.condemned[i] == 0 && s.pruner.packs != 0)
          {
            s.condemned[i] = s.pruner.packs;
            done = TRUE;
          }
      break;
    default:
      g_assert_not_reached ();
    }
  if (s.pruner.step == P_CONDEMN)
    memset (&s.pruner, 0, sizeof s.pruner);
  else
    s.pruner.step++;
  reach (search, &s);
}

/* --- the world ---------------------------------------------------------------------------------------------------- */

/* So long that nothing is recent any more. */
static void
grace_passes (Search *search, const State *from)
{
  State s = *from;

  if (s.graces == GRACES)
    return;
  s.graces++;
  for (guint i = 0; i < PUSHERS; i++)
    {
      for (guint j = 0; j < TOKENS; j++)
        s.needs_old[i][j] = s.needs[i][j] != 0;
      s.pushers[i].fresh = FALSE;
    }
  for (guint i = 0; i < LISTS; i++)
    s.condemned_old[i] = s.condemned[i] != 0;
  reach (search, &s);
}

static void
accidents (Search *search, const State *from)
{
  for (guint i = 0; i < PUSHERS; i++)
    {
      State s = *from;

      s.listed[i] = FALSE;
      reach (search, &s);
      s = *from;
      s.pushers[i] = (Pusher){ .step = IDLE, .tokens = s.pushers[i].tokens };
      reach (search, &s);
    }
  {
    State s = *from;

    memset (&s.pruner, 0, sizeof s.pruner);
    reach (search, &s);
  }
}

/* TRUE when there is a way for a listed snapshot to lose its pack. */
static gboolean
loses (Without without)
{
  Search search = { .without = without };
  State state = { 0 };
  gboolean lost;

  search.seen = g_hash_table_new_full (state_hash, state_equal, g_free, NULL);
  search.todo = g_queue_new ();
  reach (&search, &state);
  while (!search.lost && !g_queue_is_empty (search.todo))
    {
      const State *next = g_queue_pop_head (search.todo);

      for (guint i = 0; i < PUSHERS; i++)
        pusher_step (&search, next, i);
      pruner_step (&search, next);
      grace_passes (&search, next);
      accidents (&search, next);
    }
  g_test_message ("%u states", g_hash_table_size (search.seen));
  lost = search.lost;
  g_queue_free (search.todo);
  g_hash_table_unref (search.seen);
  return lost;
}

static void
test_safe (void)
{
  g_assert_false (loses (WITHOUT_NOTHING));
}

static void
test_needed (gconstpointer data)
{
  g_assert_true (loses ((Without) GPOINTER_TO_UINT (data)));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/remote-model/safe", test_safe);
  g_test_add_data_func ("/remote-model/check", GUINT_TO_POINTER (WITHOUT_CHECK), test_needed);
  g_test_add_data_func ("/remote-model/freshness", GUINT_TO_POINTER (WITHOUT_FRESHNESS), test_needed);
  g_test_add_data_func ("/remote-model/grace-and-needs", GUINT_TO_POINTER (WITHOUT_GRACE | WITHOUT_NEEDS),
                        test_needed);
  g_test_add_data_func ("/remote-model/tokens", GUINT_TO_POINTER (WITHOUT_TOKENS), test_needed);
  return g_test_run ();
}
