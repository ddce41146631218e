/*
 * Model of src/shm/channel-report.ts with what stands around it: two recovery workers publish in rings of
 * their own and post; one of them may die at any step and its successor reposts. One vCPU runs the guest as
 * Linux does: enabled wait, machine check, STCRW until cc 1, CHSC store event information until the P flag
 * is off (src/devices/css/events.ts). The enabled wait sleeps on pending / sleeping as src/shm/doorbell.ts
 * does. An event that nobody fetches ends in an invalid end state: everything waits.
 */
#ifndef EVENTS
#define EVENTS 2 /* of function 0, whose worker may die */
#endif
#ifndef OTHERS
#define OTHERS 2 /* of function 1 */
#endif
#define LIMIT(f) (f == 0 -> EVENTS : OTHERS)
#ifndef DEATHS
#define DEATHS 0
#endif

byte ring[2];          /* records in the CCDF ring (its inside: ring.pml) */
bool summary[2];
bool seiPending = false;
bool crwPending = false;
bool machineCheckEnabled = true;
bool machineCheckPending = false;
bool pending = false;  /* VcpuHeader.pending */
bool sleeping = false; /* VcpuHeader.sleeping */
bool blocked = false;
byte published[2];     /* ghost */
byte fetched[2];       /* ghost */
byte dying = 0;        /* 1 + function whose worker is being killed */
byte deaths = 0;

#define EVERYTHING (fetched[0] == EVENTS && fetched[1] == OTHERS)

/* FloatingInterrupts.channelReport and kick */
inline raise() {
  machineCheckPending = true;
  pending = true;
  atomic { was = sleeping; sleeping = false };
  if
  :: was -> blocked = false
  :: else
  fi;
  was = false
}

inline push() {
  crwPending = true;
  atomic { was = machineCheckEnabled; machineCheckEnabled = false };
  if
  :: was -> was = false; raise()
  :: else
  fi
}

inline post(f) {
#ifndef WEAK_SUMMARY_AFTER_POST
  summary[f] = true;
#endif
  atomic { was = seiPending; seiPending = true };
  if
  :: !was -> push()
  :: else -> was = false
  fi;
#ifdef WEAK_SUMMARY_AFTER_POST
  summary[f] = true
#endif
}

inline repost(f) {
#ifdef WEAK_POST_AGAIN
  post(f)
#else
  summary[f] = true;
  seiPending = true;
  crwPending = true;
  machineCheckEnabled = false;
  raise();
#ifndef WEAK_REPOST_KICKS
  sleeping = false; /* the predecessor may have taken the flag and died before its notify */
  blocked = false
#endif
#endif
}

inline publish_rest(f) {
  do
  :: published[f] < LIMIT(f) ->
#ifdef WEAK_POST_BEFORE_PUBLISH
    post(f);
    atomic { ring[f]++; published[f]++ }
#else
    atomic { ring[f]++; published[f]++ };
    post(f)
#endif
  :: else -> break
  od
}

proctype Worker(byte f) {
  bool was = false;
  bool successor = false;
again:
  {
    if
    :: successor ->
#ifdef WEAK_REPOST_IF_RECORDS
      if
      :: ring[f] > 0 -> repost(f)
      :: else
      fi
#else
      repost(f)
#endif
    :: else
    fi;
    publish_rest(f);
    goto done
  } unless { dying == f + 1 };
  atomic { dying = 0; was = false; successor = true };
  goto again;
done:
  skip
}

proctype Killer() {
  do
  :: atomic { deaths < DEATHS && dying == 0 -> deaths++; dying = 1 }
  :: break
  od
}

/* STCRW; cc 0 leaves `crw` true */
inline stcrw() {
  atomic { crw = crwPending; crwPending = false };
  if
  :: crw -> skip
  :: else ->
    machineCheckEnabled = true;
#ifndef WEAK_NO_SECOND_LOOK
    if
    :: crwPending ->
      atomic { was = machineCheckEnabled; machineCheckEnabled = false };
      if
      :: was -> was = false; raise()
      :: else
      fi
    :: else
    fi
#endif
  fi
}

inline look_at(f) {
  if
  :: snapshot[f] ->
#ifdef WEAK_SUMMARY_AFTER_LOOK
    if
    :: ring[f] > 0 -> candidate[f] = true
    :: else -> summary[f] = false
    fi
#else
    summary[f] = false;
    if
    :: ring[f] > 0 -> candidate[f] = true; summary[f] = true
    :: else
    fi
#endif
  :: else
  fi
}

inline settle(f) {
#ifdef WEAK_SUMMARY_AFTER_LOOK
  if
  :: ring[f] > 0 -> summary[f] = true
  :: else -> summary[f] = false
  fi
#else
  summary[f] = false;
  if
  :: ring[f] > 0 -> summary[f] = true
  :: else
  fi
#endif
}

/* One record of function f goes to the guest. */
inline fetch(f) {
  if
  :: !more && ring[f] > 1 -> more = true
  :: else
  fi;
  atomic { ring[f]--; fetched[f]++; assert(fetched[f] <= published[f]) };
  if
  :: more -> seiPending = true
  :: else
  fi;
  settle(f)
}

/* CHSC store event information; the P flag is `more` */
inline store_event() {
#ifndef WEAK_FLAG_AFTER_SCAN
  seiPending = false;
#endif
  more = false;
  atomic { snapshot[0] = summary[0]; snapshot[1] = summary[1] }; /* one word */
  look_at(0);
  look_at(1);
  if
  :: candidate[0] && candidate[1] -> more = true
  :: else
  fi;
  if
  :: candidate[0] -> fetch(0)
  :: candidate[1] -> fetch(1)
  :: !candidate[0] && !candidate[1] -> skip
  fi;
#ifdef WEAK_FLAG_AFTER_SCAN
  if
  :: more -> skip
  :: else -> seiPending = false
  fi;
#endif
  atomic {
    snapshot[0] = false;
    snapshot[1] = false;
    candidate[0] = false;
    candidate[1] = false
  }
}

proctype Guest() {
  bool was = false, crw = false, more = false;
  bool snapshot[2];
  bool candidate[2];
end_wait:
  do
  :: /* block boundary, machine checks enabled: take the pending word, then look */
    pending = false;
    atomic { was = machineCheckPending; machineCheckPending = false };
    if
    :: was ->
      was = false;
      /* the handler: machine checks are disabled until it has seen cc 1 */
      do
      :: true ->
        stcrw();
        if
        :: !crw -> break
        :: else
        fi;
        crw = false;
        do
        :: true ->
          store_event();
          if
          :: !more -> break
          :: else
          fi
        od;
        more = false
      od
    :: else ->
      /* enabled wait */
      sleeping = true;
      if
#ifdef WEAK_SLEEP_UNSEEN
      :: true ->
#else
      :: !pending ->
#endif
        atomic {
          if
          :: sleeping -> blocked = true
          :: else
          fi
        };
        if
        :: !blocked
        :: EVERYTHING && _nr_pr == 2 -> break /* all are done: nothing will ring any more */
        fi
      :: else
      fi;
      sleeping = false
    fi
  od;
  assert(EVERYTHING)
}

init {
  atomic { run Guest(); run Worker(0); run Worker(1); run Killer() }
}

#ifdef LIVE
ltl delivered { <> EVERYTHING }
#endif
