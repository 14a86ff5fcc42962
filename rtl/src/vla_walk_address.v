// One side of a COPY's walk over its runs: the address of the current run.
// Does: follow n1, n2 and n3 steps by additions only, and wrap dimension 2 in a ring of rows.
// Does not: count (vla_run_walker says which step comes next), or know units.
// Latency: load_i takes the constants; start_i, one cycle later or more, puts the first address on addr_o
// after its clock edge; every step_*_i gives the next address after its clock edge.
`default_nettype none
module vla_walk_address #(
  parameter Aw = 20  // bits of an address; sums wrap
) (
  input  wire          clk_i,
  input  wire          load_i,     // latch the constants below
  input  wire [Aw-1:0] base_i,
  input  wire [Aw-1:0] stride1_i,
  input  wire [Aw-1:0] stride2_i,
  input  wire [Aw-1:0] stride3_i,
  input  wire [10:0]   ring_i,     // rows of the ring, 0: none
  input  wire [10:0]   slot_i,     // slot of row 0, ignored without a ring
  input  wire          start_i,    // to the first run
  input  wire          step1_i,    // to the next channel block
  input  wire          step2_i,    // to block 0 of the next row
  input  wire          step3_i,    // to block 0 of row 0 of the next outer
  output wire [Aw-1:0] addr_o
);

  reg [Aw-1:0] stride1_q, stride2_q, stride3_q;
  reg [10:0]   ring_q, first_slot_q;
  reg [Aw-1:0] outer_q;   // slot 0, block 0 of this outer
  reg [Aw-1:0] offset_q;  // of the first slot
  reg [Aw-1:0] row_q;     // block 0 of this row
  reg [10:0]   slot_q;    // slot of this row
  reg [Aw-1:0] addr_q;

  wire [Aw+10:0] product = {11'd0, stride2_i} * {{Aw{1'b0}}, slot_i};
  wire [Aw-1:0]  offset  = ring_i == 11'd0 ? {Aw{1'b0}} : product[Aw-1:0];

  wire [10:0]   next_slot  = slot_q + 11'd1;
  wire          wrap       = ring_q != 11'd0 && next_slot == ring_q;
  wire [Aw-1:0] next_row   = wrap ? outer_q : row_q + stride2_q;
  wire [Aw-1:0] next_outer = outer_q + stride3_q;

  always @(posedge clk_i) begin
    if (load_i) begin
      stride1_q    <= stride1_i;
      stride2_q    <= stride2_i;
      stride3_q    <= stride3_i;
      ring_q       <= ring_i;
      first_slot_q <= slot_i;
      offset_q     <= offset;
      outer_q      <= base_i;
    end
    if (start_i) begin
      row_q  <= outer_q + offset_q;
      addr_q <= outer_q + offset_q;
      slot_q <= first_slot_q;
    end else if (step1_i) begin
      addr_q <= addr_q + stride1_q;
    end else if (step2_i) begin
      row_q  <= next_row;
      addr_q <= next_row;
      slot_q <= wrap ? 11'd0 : next_slot;
    end else if (step3_i) begin
      outer_q <= next_outer;
      row_q   <= next_outer + offset_q;
      addr_q  <= next_outer + offset_q;
      slot_q  <= first_slot_q;
    end
  end

  assign addr_o = addr_q;

  wire unused_high = ^product[Aw+10:Aw];

endmodule
`default_nettype wire
