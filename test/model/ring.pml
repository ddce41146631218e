/*
 * Model of src/shm/ring.ts: one producer, which may die at any step and get a successor, one consumer that
 * returns its credits late. Indices wrap at MOD, which stands for 2^32. Plain accesses are separate steps
 * guarded by ownership assertions: a slot's plain words belong to the producer until its sequence word (or
 * that of its batch's first record) is stored, then to the consumer until head is stored. That no assertion
 * fails means that there is no data race, and race-free JavaScript is sequentially consistent, which is
 * what SPIN explores.
 *
 * DRAIN: the producer moves records out of a source that forgets them (the host's destructive GET) through
 * an armed slot. Otherwise it publishes batches of one to three.
 */
#ifndef DEATHS
#define DEATHS 1
#endif
#define SLOTS 4
#define MOD 16
#define FIRST 13 /* wraps after three records */
#define RECORDS 7

#define SLOT(index) ((index) % SLOTS)
#define NEXT(index) (((index) + 1) % MOD)
#define WANTED(index) NEXT(index)
#define OLD(index) (((index) + 1 + MOD - SLOTS) % MOD)
#define ARMED(index) (MOD + NEXT(index))

byte sequence[SLOTS];
byte batchLane[SLOTS];
byte left[SLOTS];  /* the body in two words, so that a half-written one shows */
byte right[SLOTS];
byte head = FIRST;

bool consumers[SLOTS]; /* ghost: the slot's plain words belong to the consumer */
byte source = 0;       /* ghost: records that left the source */
byte published = 0;    /* ghost: records made visible */
byte seen = 0;         /* ghost: records the consumer has read */
bool dying = false;    /* a killer sets it at any moment */

inline setup() {
  byte n;
  for (n : 0 .. SLOTS - 1) { sequence[SLOT(FIRST + n)] = OLD((FIRST + n) % MOD) }
  n = 0
}

#define OWN(slot) assert(!consumers[slot])

/* Atomic store of the sequence word: from here on the `count` slots are the consumer's. */
inline release_batch(index, count) {
  atomic {
    sequence[SLOT(index)] = WANTED(index);
    published = published + count;
    consumers[SLOT(index)] = true;
    if :: count > 1 -> consumers[SLOT(index + 1)] = true :: else fi;
    if :: count > 2 -> consumers[SLOT(index + 2)] = true :: else fi
  }
}

/* RingProducer's constructor: walk from head, then take back what a dead batch left behind the tail. */
inline recover() {
  headSeen = head;
  tail = headSeen;
  k = 0;
  do
  :: k < SLOTS && sequence[SLOT(tail)] == WANTED(tail) -> tail = NEXT(tail); k++
  :: else -> break
  od;
#ifndef WEAK_NO_TAKE_BACK
  k++;
  do
  :: k < SLOTS ->
    if
    :: sequence[SLOT(headSeen + k)] == WANTED((headSeen + k) % MOD) ->
      OWN(SLOT(headSeen + k));
      sequence[SLOT(headSeen + k)] = OLD((headSeen + k) % MOD)
    :: else
    fi;
    k++
  :: else -> break
  od;
#endif
  k = 0
}

/* reserve: waits for a credit (the product returns -1; whoever rings the doorbell tries again). */
inline await_credit(wanted) {
  do
  :: SLOTS - ((tail + MOD - headSeen) % MOD) >= wanted -> break
  :: else -> head != headSeen; headSeen = head
  od
}

inline fill(index, value) {
  OWN(SLOT(index));
  left[SLOT(index)] = value;
  OWN(SLOT(index));
  right[SLOT(index)] = value
}

inline publish_one() {
  OWN(SLOT(tail));
  batchLane[SLOT(tail)] = 0;
  release_batch(tail, 1);
  tail = NEXT(tail)
}

#ifdef DRAIN
inline work() {
  /* A successor first settles the slot that its predecessor's GET may have filled. */
  await_credit(1);
  if
#ifdef WEAK_UNARMED
  :: left[SLOT(tail)] != 0 -> publish_one()
#else
  :: sequence[SLOT(tail)] == ARMED(tail) && left[SLOT(tail)] != 0 -> publish_one()
#endif
  :: else
  fi;
  do
  :: source < RECORDS ->
    await_credit(1);
    fill(tail, 0);
    sequence[SLOT(tail)] = ARMED(tail);
    atomic { source++; left[SLOT(tail)] = source; right[SLOT(tail)] = source }; /* the host's GET */
    publish_one()
  :: else -> break
  od
}
#else
inline work() {
  do
  :: published < RECORDS ->
    count = 1;
    if
    :: published + 2 <= RECORDS -> count = 2
    :: published + 3 <= RECORDS -> count = 3
    :: true
    fi;
    await_credit(count);
    k = 0;
#ifdef WEAK_PUBLISH_BEFORE_FILL
    value = published + 1;
    batchLane[SLOT(tail)] = 0;
    count = 1;
    release_batch(tail, 1);
    left[SLOT(tail)] = value;
    right[SLOT(tail)] = value;
    tail = NEXT(tail);
    goto next_batch;
#endif
    do
    :: k < count -> fill((tail + k) % MOD, published + k + 1); k++
    :: else -> break
    od;
    k = 1;
    do
    :: k < count ->
      OWN(SLOT(tail + k));
      batchLane[SLOT(tail + k)] = 0;
      sequence[SLOT(tail + k)] = WANTED((tail + k) % MOD);
      k++
    :: else -> break
    od;
    k = 0;
#ifdef WEAK_COUNT_AFTER_PUBLISH
    release_batch(tail, count);
    batchLane[SLOT(tail)] = count - 1;
#else
    OWN(SLOT(tail));
    batchLane[SLOT(tail)] = count - 1;
    release_batch(tail, count);
#endif
    tail = (tail + count) % MOD;
#ifdef WEAK_PUBLISH_BEFORE_FILL
next_batch:
#endif
    count = 1
  :: else -> break
  od
}
#endif

proctype Producer() {
  byte tail, headSeen, k, count;
#ifdef WEAK_PUBLISH_BEFORE_FILL
  byte value;
#endif
again:
  {
    recover();
    assert((tail + MOD - FIRST) % MOD == published % MOD);
    work();
    goto done
  } unless { dying };
  /* The successor knows nothing of its predecessor's locals. */
  atomic { dying = false; tail = 0; headSeen = 0; k = 0; count = 0 };
  goto again;
done:
  skip
}

proctype Killer() {
  byte deaths;
  do
  :: atomic { deaths < DEATHS && !dying -> deaths++; dying = true }
  :: break
  od
}

/* Atomic store of head: the slots behind it are the producer's again. */
inline flush() {
  atomic {
    do
    :: head != next -> consumers[SLOT(head)] = false; head = NEXT(head)
    :: else -> break
    od
  }
}

proctype Consumer() {
  byte next = FIRST;
  byte known = 0;
  byte a, b;
  do
  :: seen < RECORDS ->
    if
    :: known == 0 && sequence[SLOT(next)] == WANTED(next) ->
#ifdef WEAK_HEAD_BEFORE_READ
      consumers[SLOT(next)] = false;
      head = NEXT(next);
#endif
      known = 1 + batchLane[SLOT(next)]
    :: known > 0 -> skip
    :: else ->
      /* Nothing there: return what is owed, then wait for the record. */
#ifndef WEAK_NO_FLUSH
      flush();
#endif
      sequence[SLOT(next)] == WANTED(next);
      known = 1 + batchLane[SLOT(next)]
    fi;
#ifndef WEAK_HEAD_BEFORE_READ
    assert(consumers[SLOT(next)]);
#endif
    a = left[SLOT(next)];
    b = right[SLOT(next)];
    assert(a == b);
    seen++;
    assert(a == seen); /* in order, none lost, none twice, none overwritten */
    a = 0;
    b = 0;
    next = NEXT(next);
    known--;
    if
    :: true -> skip /* skip(): the credit is returned later */
#ifndef WEAK_HEAD_BEFORE_READ
    :: flush()
#endif
    fi
  :: else -> break
  od;
  flush() /* before it stops */
}

init {
  atomic { setup(); run Producer(); run Consumer(); run Killer() }
}
