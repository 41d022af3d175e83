/// Kernels that read float32 matrices stored as float16, which loses nothing where weights come as float16: half the
/// memory to move, and the same bits as from float32. Rows of a panel are tileColumns float16; strides count floats of
/// memory.
package struct HalfKernels: Sendable {
  /// `KernelTable.gemmPanel`.
  package var panel: PanelKernel

  package init(panel: PanelKernel) { self.panel = panel }
}
