/** The machine and CPU as QEMU's users name them. */
export const MACHINE_TYPE = "s390-ccw-virtio";
/** QEMU's versioned name of the machine that this one is like. */
export const MACHINE_VERSIONED = "s390-ccw-virtio-11.1";
export const CPU_TYPE = "qemu-s390x-cpu";
export const CPU_PATH = "/machine/unattached";
