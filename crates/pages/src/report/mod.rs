//! The page of a run, or of several beside each other.

mod charts;
mod course;
mod headline;
mod images;

use maud::{Markup, html};

pub use self::course::{Course, Fact, Measured, Reach, Standing};
use crate::frame::page_with;
use crate::image_rows::ImageRows;
use crate::map::FeatureMap;

/// A part of the page, or why it cannot be drawn, in a sentence.
pub type ImagePart<T> = Result<T, String>;

/// A value that is not the same in all runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its path in a pipeline: `learning_rate.base`.
    pub path: String,
    /// As each run has it.
    pub values: Vec<Option<String>>,
}

/// A class, and what its images are taken for.
#[derive(Clone, Debug)]
pub struct WeakClass {
    /// Its name.
    pub name: String,
    /// Its images.
    pub n: usize,
    /// Those that are found.
    pub right: usize,
    /// What the others are taken for, the most frequent first.
    pub confused: Vec<Confused>,
}

/// What images are taken for.
#[derive(Clone, Debug)]
pub struct Confused {
    /// The class.
    pub name: String,
    /// How many images.
    pub n: usize,
}

/// All that a page shows. Parts that are `None` are left out without a word, as those of a page of several runs.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What the page is called.
    pub title: String,
    /// The runs.
    pub courses: Vec<Course>,
    /// What differs between their pipelines.
    pub differences: Vec<Difference>,
    /// What could not be drawn of their course, in a sentence each.
    pub notes: Vec<String>,
    /// Images, and views of them.
    pub views: Option<ImagePart<ImageRows>>,
    /// Images, and their nearest neighbors.
    pub neighbors: Option<ImagePart<ImageRows>>,
    /// The map of the features.
    pub map: Option<ImagePart<FeatureMap>>,
    /// The classes that are found least often, the worst first.
    pub weak_classes: Option<ImagePart<Vec<WeakClass>>>,
    /// Which images and features these parts show, in a sentence each.
    pub image_notes: Vec<String>,
    /// The resolved pipelines, by the names of the runs.
    pub pipelines: Vec<(String, String)>,
}

impl Report {
    /// The page; with the number of its `version` one that shows itself anew, see [`page_with`].
    pub fn page(&self, version: Option<u64>) -> String {
        page_with(&self.title, &self.content(), version)
    }

    fn content(&self) -> Markup {
        html! {
            header { (self.headline()) }
            main {
                h2 { "Course of the training" }
                @for note in &self.notes { p class="note" { (note) } }
                (charts::charts(&self.courses))
                (self.images())
                h2 { @if self.pipelines.len() == 1 { "Pipeline" } @else { "Pipelines" } }
                p class="soft" { "Everything that was trained with: run again, it gives the same run." }
                @for (name, text) in &self.pipelines {
                    @if self.pipelines.len() == 1 {
                        pre { (text) }
                    } @else {
                        details { summary { (name) } pre { (text) } }
                    }
                }
            }
            footer { "Written by moco." }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::image_rows::{Caption, ImageTile, Relation};
    use crate::map::{MapGroup, MapPoint};
    use crate::number::Unit;
    use crate::thumbnail::Thumbnail;

    fn report() -> Report {
        let course = Course {
            name: "mocov2-001".into(),
            facts: vec![Fact { name: "pipeline".into(), value: "mocov2".into() }],
            loss: vec![(1.0, 7.0), (2.0, 6.0)],
            ..Course::default()
        };
        Report {
            title: "mocov2-001".into(),
            courses: vec![course],
            pipelines: vec![("mocov2-001".into(), "Pipeline(name: \"<a>\")".into())],
            ..Report::default()
        }
    }

    #[test]
    fn a_page_of_a_run_has_its_parts_and_says_what_is_not_there() {
        let tile = ImageTile {
            thumbnail: Thumbnail::new(&RgbImage::new(8, 8)),
            caption: Caption::default(),
            relation: Relation::Query,
        };
        let point = MapPoint { place: [0.0, 1.0], group: 0, name: "a.png".into() };
        let report = Report {
            views: Some(Ok(ImageRows { rows: vec![vec![tile]], ..ImageRows::default() })),
            neighbors: Some(Err("the images have moved".into())),
            map: Some(Ok(FeatureMap {
                points: vec![point],
                groups: vec![MapGroup { name: "cats".into() }],
                images: None,
            })),
            weak_classes: Some(Ok(vec![WeakClass {
                name: "cat".into(),
                n: 8,
                right: 2,
                confused: vec![Confused { name: "dog".into(), n: 4 }],
            }])),
            ..report()
        };
        let page = report.page(None);
        for part in [
            "What the encoder sees",
            "Not drawn: the images have moved",
            "Map of the features",
            "25.0 %",
            "dog <span class=\"soft\">50.0 %",
            "Pipeline(name: &quot;&lt;a&gt;&quot;)",
            "pipeline mocov2",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        assert!(!page.contains("<script"), "a page needs no script");
    }

    #[test]
    fn a_run_that_failed_or_collapsed_says_so_before_its_numbers() {
        let mut report = report();
        report.courses[0].reach.standing = Standing::Failed("the loss is <not> finite".into());
        report.courses[0].verdict = Some("The encoder has collapsed.".into());
        let page = report.page(None);
        for part in ["Training failed: the loss is &lt;not&gt; finite", "The encoder has collapsed."] {
            let place = page.find(part).unwrap_or_else(|| panic!("{part} is not in\n{page}"));
            assert!(place < page.find("class=\"tiles\"").unwrap(), "{part}");
        }
        report.courses.push(Course { name: "mocov2-002".into(), ..Course::default() });
        let page = report.page(None);
        assert!(page.contains("<b>mocov2-001: </b>Training failed: the loss"), "{page}");
        assert!(!page.contains("<b>mocov2-002: "), "{page}");
    }

    #[test]
    fn what_decides_the_best_checkpoint_is_said_to() {
        let metric = |name: &str, points, decides_best: bool| Measured {
            name: name.into(),
            unit: Unit::Plain,
            points,
            more_is_better: !decides_best,
            decides_best,
        };
        let mut report = report();
        let points = vec![(0.0, 9.0), (1.0, 2.0), (2.0, 3.0)];
        report.courses[0].metrics =
            vec![metric("lidar", points.clone(), true), metric("alignment", points, false)];
        let page = report.page(None);
        for part in [
            "2.00</dd><dd>best, epoch 1; last 3.00; untrained 9.00; decides the best checkpoint<",
            ">epoch 2; untrained 9.00<",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        report.courses.push(Course { name: "mocov2-002".into(), ..report.courses[0].clone() });
        let page = report.page(None);
        for part in ["what decides its best checkpoint (lidar)", "<b>2.00</b> <span class=\"soft\">epoch 1<"]
        {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }

    #[test]
    fn a_page_of_several_runs_has_a_table_of_what_differs() {
        let mut report = report();
        report.courses.push(Course { name: "mocov2-002".into(), ..report.courses[0].clone() });
        assert!(report.page(None).contains("The pipelines say the same"));
        let values = vec![Some("0.03".into()), None];
        report.differences = vec![Difference { path: "learning_rate.base".into(), values }];
        let page = report.page(None);
        assert!(page.contains("<code>learning_rate.base</code>") && page.contains("absent"), "{page}");
        assert!(!page.contains("Nearest neighbors"));
    }
}
