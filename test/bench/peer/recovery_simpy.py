"""The bench's scenario as a plain process simulation with SimPy 2 (Debian 12: python3-simpy 2.3.1).

One function of one guest: errors arrive as a Poisson process; a recovery worker reads the host's queue and tells the
guest; the guest's kernel thread takes the machine check, fetches the event, tears its driver down and asks for a reset,
which it polls every 20 ms; the worker drives the host's reset and asks every quarter of a millisecond whether it has
ended, as policy mediated says, and looks at the host's queue every second even without a signal; the guest enables and
restarts. The same stages with the same distributions as the model, written down as they are: no wake-up is skipped
because nothing can have changed. Without the model's books, budgets and deadlines.

Usage: recovery_simpy.py HOURS SEED; prints "recoveries seconds".
"""
import math
import random
import sys
import time

from SimPy.Simulation import Process, Simulation, Store, get, hold, put

STAGES = {
    "machineCheck": 1_300, "fetch": 600, "decide": 700, "teardown": 25_600,
    "enable": 200, "register": 700, "restore": 9_100, "restart": 6_400,
}


class World(Simulation):
    def __init__(self, seed):
        Simulation.__init__(self)
        self.initialize()
        self.random = random.Random(seed)
        self.host = Store(sim=self)
        self.guest = Store(sim=self)
        self.requests = Store(sim=self)
        self.broken = False
        self.reset_done = False
        self.recoveries = 0
        self.looks = 0

    def stage(self, name):
        return STAGES[name] * math.exp(0.25 * self.random.gauss(0, 1))


class Platform(Process):
    def run(self, mean):
        while True:
            yield hold, self, self.sim.random.expovariate(1 / mean)
            self.sim.broken = True
            yield put, self, self.sim.host, ["ccdf"]


class Worker(Process):
    def inject(self):
        while True:
            yield get, self, self.sim.host, 1
            yield put, self, self.sim.guest, ["event"]

    def slow_drain(self):
        while True:
            yield hold, self, 1_000_000
            self.sim.looks += 1

    def resets(self):
        while True:
            yield get, self, self.sim.requests, 1
            ends = self.sim.now() + 120_000 * math.exp(0.4 * self.sim.random.gauss(0, 1))
            while self.sim.now() < ends:
                yield hold, self, 250
            self.sim.broken = False
            self.sim.reset_done = True


class Guest(Process):
    def run(self):
        sim = self.sim
        while True:
            yield get, self, sim.guest, 1
            for name in ("machineCheck", "fetch", "decide"):
                yield hold, self, sim.stage(name)
            if not sim.broken:
                continue
            yield hold, self, sim.stage("teardown")
            sim.reset_done = False
            yield put, self, sim.requests, ["reset"]
            while not sim.reset_done:
                yield hold, self, 20_000
            for name in ("enable", "register", "restore", "restart"):
                yield hold, self, sim.stage(name)
            sim.recoveries += 1


def main():
    hours, seed = float(sys.argv[1]), int(sys.argv[2])
    world = World(seed)
    for process, body in (
        (Platform(sim=world), lambda p: p.run(3_600_000_000 / 100)),
        (Worker(sim=world), lambda p: p.inject()),
        (Worker(sim=world), lambda p: p.resets()),
        (Worker(sim=world), lambda p: p.slow_drain()),
        (Guest(sim=world), lambda p: p.run()),
    ):
        world.activate(process, body(process), at=0)
    begin = time.perf_counter()
    world.simulate(until=hours * 3_600_000_000)
    print(world.recoveries, time.perf_counter() - begin)


main()
