/// Polynomials through earlier network outputs.
public enum Extrapolation {
  /// Lagrange weights of the values at `nodes` for the value at `position`. Equal nodes make the later one count zero.
  public static func weights(nodes: [Double], position: Double) -> [Double] {
    nodes.indices.map { i in
      var weight = 1.0
      for j in nodes.indices where j != i {
        let distance = nodes[i] - nodes[j]
        if distance == 0 {
          if j < i { return 0 }
          continue
        }
        weight *= (position - nodes[j]) / distance
      }
      return weight
    }
  }

  /// How much the interpolation at `position` changes per unit of error that the polynomial through `nodes` makes at the
  /// new node `known` (Newton's form): the share of the error that a later network call reveals.
  public static func share(nodes: [Double], known: Double, position: Double) -> Double {
    var share = 1.0
    for node in nodes {
      let distance = known - node
      guard distance != 0 else { return 0 }
      share *= (position - node) / distance
    }
    return share
  }
}
