// The peers of `npm run bench -- ring`: what the same exchanges cost in C++ on this machine.
//   ring batched RECORDS BATCH   one release store per batch; prints million records per second
//   ring hop ROUNDS              two rings, one record each way, spinning; prints p50 of one way in ns
//   ring wake ROUNDS             the same with a futex doorbell; prints p50 of one way in us
// The two threads run on the first two CPUs the process may use, as ours do (`pin` in ../harness.ts).
// Sequence-in-slot rings as in src/shm/ring.ts: records are 64 bytes, every word written and read; 1,024
// slots; words 128 bytes apart. (gcc 12 vectorises this shape; an index ring without sequence words came
// out scalar and at 0.4 of the speed on the machine where both were tried.)
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr uint32_t kSlots = 1024;

struct alignas(64) Record {
  uint32_t lane[16];
};

struct alignas(128) Word {
  std::atomic<uint32_t> value{0};
};

double now_ns() {
  return std::chrono::duration<double, std::nano>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Keeps the calling thread on the process's `which`-th CPU; without two CPUs it stays free.
void pin(int which) {
  static const cpu_set_t allowed = [] {
    cpu_set_t set;
    sched_getaffinity(getpid(), sizeof set, &set);
    return set;
  }();
  if (CPU_COUNT(&allowed) < 2) return;
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed) || seen++ != which) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    return;
  }
}

inline std::atomic<uint32_t> &sequence(Record &record) {
  return reinterpret_cast<std::atomic<uint32_t> &>(record.lane[0]);
}

// ---- batched ----------------------------------------------------------------------------------------

Word g_head;
Record g_slots[kSlots];

void produce(uint32_t records, uint32_t batch) {
  pin(0);
  uint32_t tail = 0, head = 0;
  while (tail != records) {
    while (kSlots - (tail - head) < batch) head = g_head.value.load(std::memory_order_acquire);
    for (uint32_t n = 0; n < batch; n++) {
      Record &record = g_slots[(tail + n) & (kSlots - 1)];
      if (n != 0) record.lane[0] = tail + n + 1;
      for (uint32_t lane = 1; lane < 16; lane++) record.lane[lane] = tail + n + lane;
    }
    Record &first = g_slots[tail & (kSlots - 1)];
    first.lane[7] = batch;
    sequence(first).store(tail + 1, std::memory_order_release);
    tail += batch;
  }
}

uint32_t consume(uint32_t records) {
  uint32_t head = 0, sum = 0;
  while (head != records) {
    Record &first = g_slots[head & (kSlots - 1)];
    while (sequence(first).load(std::memory_order_acquire) != head + 1) {
    }
    const uint32_t count = first.lane[7];
    for (uint32_t n = 0; n < count; n++) {
      const Record &record = g_slots[(head + n) & (kSlots - 1)];
      for (uint32_t lane = 0; lane < 16; lane++) sum += record.lane[lane];
    }
    head += count;
    g_head.value.store(head, std::memory_order_release);
  }
  return sum;
}

void batched(uint32_t records, uint32_t batch) {
  records -= records % batch;
  const double start = now_ns();
  std::thread producer(produce, records, batch);
  const uint32_t sum = consume(records);
  producer.join();
  const double seconds = (now_ns() - start) / 1e9;
  uint32_t expected = 0;
  for (uint32_t n = 0; n < records; n++) expected += 16 * n + 121;
  for (uint32_t n = 0; n < records; n += batch) expected += batch - (n + 7);
  if (sum != expected) std::exit(2);
  std::printf("%.4f\n", records / seconds / 1e6);
}

// ---- one record at a time, head returned every 32 records -------------------------------------------

struct SlotRing {
  Word head;
  Record slots[kSlots];
};

SlotRing g_there, g_back;

struct Producer {
  SlotRing &ring;
  uint32_t tail = 0, head = 0;
  void push(uint32_t value) {
    while (tail - head >= kSlots) head = ring.head.value.load(std::memory_order_acquire);
    Record &record = ring.slots[tail & (kSlots - 1)];
    for (uint32_t lane = 1; lane < 16; lane++) record.lane[lane] = value + lane;
    tail++;
    sequence(record).store(tail, std::memory_order_release);
  }
};

struct Consumer {
  SlotRing &ring;
  uint32_t head = 0;
  bool pop(uint32_t &sum) {
    Record &record = ring.slots[head & (kSlots - 1)];
    if (sequence(record).load(std::memory_order_acquire) != head + 1) return false;
    for (uint32_t lane = 1; lane < 16; lane++) sum += record.lane[lane];
    head++;
    if ((head & 31) == 0) ring.head.value.store(head, std::memory_order_release);
    return true;
  }
};

// One sample is the mean of `group` round trips, halved; the median of the samples is printed.
template <typename Ping> double p50(uint32_t rounds, uint32_t group, Ping ping) {
  std::vector<double> samples;
  for (uint32_t n = 0; n < rounds; n += group) {
    const double start = now_ns();
    for (uint32_t k = 0; k < group; k++) ping(n + k);
    samples.push_back((now_ns() - start) / group / 2);
  }
  std::nth_element(samples.begin(), samples.begin() + samples.size() / 2, samples.end());
  return samples[samples.size() / 2];
}

void hop(uint32_t rounds) {
  rounds -= rounds % 64;
  std::thread echo([rounds] {
    pin(1);
    Consumer in{g_there};
    Producer out{g_back};
    uint32_t sum = 0;
    for (uint32_t n = 0; n < rounds; n++) {
      while (!in.pop(sum)) {
      }
      out.push(n);
    }
  });
  Producer out{g_there};
  Consumer in{g_back};
  uint32_t sum = 0;
  const double ns = p50(rounds, 64, [&](uint32_t n) {
    out.push(n);
    while (!in.pop(sum)) {
    }
  });
  echo.join();
  if (sum == 1) std::exit(2);
  std::printf("%.4f\n", ns);
}

// ---- doorbell: a sleeping word and a futex ---------------------------------------------------------

struct Doorbell {
  Word sleeping;
  Word summary;
  void ring() {
    summary.value.fetch_or(1);
    if (sleeping.value.exchange(0) == 1)
      syscall(SYS_futex, &sleeping.value, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  void sleep() {
    sleeping.value.store(1);
    if (summary.value.load() == 0)
      syscall(SYS_futex, &sleeping.value, FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
    sleeping.value.store(0);
    summary.value.exchange(0);
  }
};

Doorbell g_bell_there, g_bell_back;

void wake(uint32_t rounds) {
  std::thread echo([rounds] {
    pin(1);
    Consumer in{g_there};
    Producer out{g_back};
    uint32_t sum = 0;
    for (uint32_t n = 0; n < rounds; n++) {
      while (!in.pop(sum)) g_bell_there.sleep();
      out.push(n);
      g_bell_back.ring();
    }
  });
  Producer out{g_there};
  Consumer in{g_back};
  uint32_t sum = 0;
  const double ns = p50(rounds, 1, [&](uint32_t n) {
    out.push(n);
    g_bell_there.ring();
    while (!in.pop(sum)) g_bell_back.sleep();
  });
  echo.join();
  if (sum == 1) std::exit(2);
  std::printf("%.4f\n", ns / 1e3);
}

} // namespace

int main(int count, char **values) {
  pin(count >= 2 && std::strcmp(values[1], "batched") == 0 ? 1 : 0);
  if (count >= 4 && std::strcmp(values[1], "batched") == 0)
    batched(std::strtoul(values[2], nullptr, 0), std::strtoul(values[3], nullptr, 0));
  else if (count >= 3 && std::strcmp(values[1], "hop") == 0)
    hop(std::strtoul(values[2], nullptr, 0));
  else if (count >= 3 && std::strcmp(values[1], "wake") == 0)
    wake(std::strtoul(values[2], nullptr, 0));
  else
    return 2;
  return 0;
}
