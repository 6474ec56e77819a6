//! Where in an image a backbone looks.

/// Maps over images, of what a backbone attends to.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMaps {
    /// What the maps say, in a few words: `attention of the class token in the last block`.
    pub what: &'static str,
    /// The name of each map of an image: `head 1`.
    pub names: Vec<String>,
    /// `(H, W)` of a map: rows and columns of places, which are equal parts of the image.
    pub size: (usize, usize),
    /// `(N, maps, H, W)`, image after image.
    pub values: Vec<f32>,
}

impl AttentionMaps {
    /// The maps of image number `image`, each `(H, W)` row by row.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn of_image(&self, image: usize) -> Vec<&[f32]> {
        let n_of_map = self.size.0 * self.size.1;
        let n_of_image = self.names.len() * n_of_map;
        self.values[image * n_of_image..][..n_of_image].chunks_exact(n_of_map).collect()
    }
}
