/*
 * Model of src/shm/doorbell.ts: two threads ring, one owner sleeps. A lost wake-up is a state in which the
 * owner waits, work is left and nobody will ring: an invalid end state. `Atomics.wait` compares and blocks in
 * one step (the engine holds its list lock), `notify` releases a thread that blocks now, else does nothing.
 */
#define RINGS 3 /* per ringer */

bool sleeping = false;
byte summary = 0; /* bits 1 and 2 */
byte work[3];     /* published per mark; index = mark */
byte total = 0;   /* ghost: published */
byte done = 0;    /* ghost: drained */
bool blocked = false;

#define ALL (2 * RINGS)

inline ring(mark) {
#ifdef WEAK_NOTIFY_IF_SEEN
  atomic { summary = summary | mark };
  if
  :: sleeping -> blocked = false /* sees the flag, leaves it, notifies */
  :: else
  fi
#else
  if
  :: (summary & mark) == mark -> skip /* left alone: somebody's bit is still set */
  :: else -> atomic { summary = summary | mark }
  fi;
  atomic { was = sleeping; sleeping = false };
  if
  :: was -> blocked = false /* notify */
  :: else
  fi;
  was = false
#endif
}

proctype Ringer(byte mark) {
  byte n;
  bool was;
  for (n : 1 .. RINGS) {
    atomic { work[mark]++; total++ }; /* published by an atomic store */
    ring(mark);
    if
    :: mark == 2 -> mark = 1 /* later both ringers share a bit */
    :: else
    fi
  }
}

inline drain(mark) {
  if
  :: taken & mark -> atomic { done = done + work[mark]; work[mark] = 0 }
  :: else
  fi
}

proctype Owner() {
  byte taken;
  do
  :: done == ALL -> break
  :: else ->
#ifdef WEAK_TAKE_AFTER_DRAIN
    taken = summary;
    drain(1);
    drain(2);
    summary = 0;
#else
    atomic { taken = summary; summary = 0 };
    drain(1);
    drain(2);
#endif
    taken = 0;
    if
    :: done == ALL -> break
    :: else
    fi;
#ifdef WEAK_FLAG_AFTER_LOOK
    if
    :: summary == 0 ->
      sleeping = true;
#else
    sleeping = true;
    if
#ifdef WEAK_NO_SECOND_LOOK
    :: true ->
#else
    :: summary == 0 ->
#endif
#endif
      atomic {
        if
        :: sleeping -> blocked = true
        :: else
        fi
      };
      !blocked
    :: else
    fi;
    sleeping = false
  od;
  assert(done == total)
}

init {
  atomic { run Owner(); run Ringer(1); run Ringer(2) }
}

#ifdef LIVE
ltl drained { <> (done == ALL) }
#endif
