/// Rewrites that turn what exporters spread over many nodes into one operator of domain `adadiff`.
///
/// All of them expect a graph whose values carry inferred fixed shapes and whose constants are folded, and leave anything
/// that does not match exactly as it is. Only float32 is fused: reduced types are converted before planning.
package enum FusionPasses {
  /// Everything that a graph goes through before its operators are made.
  package static func apply(to graph: inout Graph, precision: Precision) {
    fuse(&graph)
    LayoutPass.apply(to: &graph)
    ReducedPrecisionPass.apply(precision, to: &graph)
    ProductGrouping.apply(to: &graph)
  }

  /// In this order: later patterns contain earlier ones (GroupNorm + SiLU, projection + GELU).
  private static func fuse(_ graph: inout Graph) {
    graph = SimplifyPass.apply(graph)
    graph = ActivationFusion.apply(graph)
    graph = LayerNormFusion.apply(graph)
    graph = GroupNormFusion.apply(graph)
    graph = AttentionFusion.apply(graph)
    graph = GegluFusion.apply(graph)
    graph = LinearFusion.apply(graph)
  }

  /// Opset version given to operators of domain `adadiff`.
  static let version = 1
}
