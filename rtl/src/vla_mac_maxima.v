// The maximum of each pixel over all columns of a batch, out block after out block.
// Does: take the maximum over the channels of a group's pixels, keep it for up to 1024 pixels from block to block, and
// give it out with the last block.
// Does not: know which channels are masked: those are -32768. Groups come at least two cycles apart.
// Latency: valid_i -> valid_o log2(Block) + 1 cycles.
`default_nettype none
module vla_mac_maxima #(
  parameter Block = 16,
  parameter Group = 2    // pixels
) (
  input  wire                      clk_i,
  input  wire                      rst_i,
  input  wire                      valid_i,
  input  wire                      first_i,    // of the first out block of a batch
  input  wire                      last_i,     // of the last one
  input  wire                      end_i,      // last group of its block
  input  wire [16*Group*Block-1:0] q_i,        // [pixel][channel]
  output wire                      valid_o,
  output wire [16*Group-1:0]       maxima_o
);

  localparam Levels = $clog2(Block);
  localparam Groups = 1024 / Group;
  localparam Aw     = $clog2(Groups);

  // ---- the tree ----
  reg  [Levels:1] valid_q;
  wire            tree_first, tree_last, tree_end;
  wire            tree_valid = valid_q[Levels];
  always @(posedge clk_i) begin
    if (rst_i) valid_q <= {Levels{1'b0}};
    else valid_q <= {valid_q[Levels-1:1], valid_i};
  end
  vla_delay #(.Width(3), .Cycles(Levels)) u_flags (
    .clk_i(clk_i), .data_i({first_i, last_i, end_i}), .data_o({tree_first, tree_last, tree_end})
  );

  // ---- the memory: read while the tree's last level is taken ----
  reg  [Aw-1:0]         index_q;
  reg                   first_q, last_q, write_q;
  reg  [Aw-1:0]         write_addr_q;
  reg  [16*Group-1:0]   tree_q;
  wire [16*Group-1:0]   tree, kept;

  always @(posedge clk_i) begin
    if (rst_i) index_q <= {Aw{1'b0}};
    else if (tree_valid) index_q <= tree_end ? {Aw{1'b0}} : index_q + 1'b1;
    write_q      <= rst_i ? 1'b0 : tree_valid;
    first_q      <= tree_first;
    last_q       <= tree_last;
    write_addr_q <= index_q;
    tree_q       <= tree;
  end

  vla_ram_1r1w #(.Width(16*Group), .Words(Groups)) u_kept (
    .clk_i(clk_i),
    .wr_en_i(write_q), .wr_addr_i(write_addr_q), .wr_data_i(maxima_o),
    .rd_en_i(tree_valid), .rd_addr_i(index_q), .rd_data_o(kept)
  );

  assign valid_o = write_q && last_q;

  genvar p, n;
  generate
    for (p = 0; p < Group; p = p + 1) begin : g_pixel
      // node n is the larger of nodes 2n and 2n + 1; the channels are nodes Block to 2 Block - 1
      wire [32*Block-1:16] node;
      assign node[32*Block-1:16*Block] = q_i[16*Block*p +: 16*Block];
      for (n = 1; n < Block; n = n + 1) begin : g_node
        wire signed [15:0] a = node[32*n +: 16];
        wire signed [15:0] b = node[32*n + 16 +: 16];
        reg         [15:0] larger_q;
        assign node[16*n +: 16] = larger_q;
        always @(posedge clk_i) larger_q <= a > b ? a : b;
      end
      assign tree[16*p +: 16] = node[31:16];

      wire signed [15:0] new_value = tree_q[16*p +: 16];
      wire signed [15:0] old_value = kept[16*p +: 16];
      assign maxima_o[16*p +: 16] = first_q || new_value > old_value ? new_value : old_value;
    end
  endgenerate

endmodule
`default_nettype wire
